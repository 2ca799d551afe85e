//! What the peers' programs share: a free port on loopback, and the line that says it. How each of them speaks is its
//! own program's business, written as its own example shows it.
//!
//! With the argument `batched` a program answers all messages that are there before it flushes, where its library can.

use tokio::net::{TcpListener, TcpStream};

/// How many messages a batched echo answers before it flushes and lets others run.
pub const BATCH_MAX: usize = 32;

/// Whether the best is asked for, and not the example.
pub fn is_batched() -> bool {
    std::env::args().nth(1).as_deref() == Some("batched")
}

/// Runs a server's accept loop on one thread: a task for each connection, all of them without Nagle's delay.
pub fn serve<F>(connection: impl Fn(TcpStream) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("ready {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = connection(stream);
            tokio::spawn(async move {
                // A connection that ends badly ends alone; the load generator notices what is missing.
                drop(connection.await);
            });
        }
    })
}
