//! Prints what a server says, and connects again whenever the line is lost, until it is closed for good or Ctrl-C is
//! pressed.
//!
//! `cargo run --example reconnecting_client [URL]`, default ws://127.0.0.1:8080.

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:8080".to_owned());
    let line = ws::connect(&url).reconnecting(ws::Backoff::default()).retry_if(|error| {
        println!("not connected: {error}");
        error.is_retryable()
    });
    tokio::select! {
        ended = listen(line) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// One socket after the other. What a server says in between is lost: one that numbers its messages would be told here
/// how far we have come.
async fn listen(mut line: ws::Reconnecting) -> Result<(), ws::Error> {
    while let Some(socket) = line.connected().await? {
        println!("connected");
        let _ = socket.send("Hello again!").await;
        while let Ok(Some(message)) = socket.recv().await {
            println!("{message}");
        }
    }
    println!("closed for good");
    Ok(())
}
