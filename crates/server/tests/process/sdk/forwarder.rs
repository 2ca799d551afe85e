//! An address that stays while servers come and go: it forwards every connection to the server of the moment, and closes
//! it if there is none. A port that a dead server has left would be free for anybody.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The address. Gone when it is dropped.
pub(super) struct Forwarder {
    address: SocketAddr,
    server: Arc<Mutex<Option<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// One that leads nowhere yet.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = Arc::new(Mutex::new(None));
        let leads_to = Arc::clone(&server);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = *leads_to.lock().unwrap_or_else(PoisonError::into_inner);
                tokio::spawn(forward(client, server));
            }
        });
        Self { address, server, task }
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Where connections go from now on.
    pub(super) fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, server: Option<SocketAddr>) {
    let Some(server) = server else { return };
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    // A line that is cut on one side is cut on the other.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
