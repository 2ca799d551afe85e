//! Answers what a client says on the path `/ws` with `Message received: …`; other paths get a 404.
//!
//! `cargo run --example message_received [ADDR:PORT]`, default 127.0.0.1:8000. Ctrl-C ends it.

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    // Any page may connect, also one opened from a file. A service with users should keep the default: its own pages.
    let server = ws::Server::bind(addr).await?.path("/ws").origin(ws::OriginPolicy::Any);
    println!("listening on ws://{}/ws", server.local_addr()?);
    server.serve_until(answer, async { drop(tokio::signal::ctrl_c().await) }).await
}

async fn answer(mut socket: ws::Socket) -> Result<(), ws::Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(format!("Message received: {message}")).await?;
    }
    Ok(())
}
