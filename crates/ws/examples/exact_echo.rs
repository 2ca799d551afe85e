//! Sends every message back as it came, compressed for clients that offer it: what conformance suites and load
//! generators talk to.
//!
//! `cargo run --example exact_echo [ADDR:PORT]`, default 127.0.0.1:9001.

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let server =
        ws::Server::bind(addr).await?.origin(ws::OriginPolicy::Any).compression(ws::Compression::default());
    println!("listening on ws://{}", server.local_addr()?);
    let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    server
        .serve_until(
            |mut socket| async move {
                while let Some(message) = socket.recv().await? {
                    socket.send(message).await?;
                }
                Ok(())
            },
            ctrl_c,
        )
        .await
}
