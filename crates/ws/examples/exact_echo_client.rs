//! Connects to a server, offers compression, and sends every message back as it came, until the server closes: the client that conformance
//! suites judge.
//!
//! `cargo run --example exact_echo_client URL`

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001".to_owned());
    let mut socket = ws::connect(url).compression(ws::Compression::default()).await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}
