//! Says hello to a server and prints its answers, until the server closes or Ctrl-C is pressed.
//!
//! `cargo run --example client [URL]`, default ws://127.0.0.1:8080.

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:8080".to_owned());
    let mut socket = ws::connect(&url).await?;
    println!("connected to {url}");
    socket.send("Hello from Rust!").await?;
    loop {
        tokio::select! {
            message = socket.recv() => match message? {
                Some(message) => println!("{message}"),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => socket.close(ws::CloseCode::NORMAL, "").await?,
        }
    }
    if let Some(ws::CloseFrame { code, reason }) = socket.close_frame() {
        println!("closed: {code} {reason}");
    }
    Ok(())
}
