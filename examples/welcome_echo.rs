//! Greets each client with `Welcome!` and answers what it says with `Echo: …`.
//!
//! `cargo run --example welcome_echo [ADDR:PORT]`, default 127.0.0.1:8080. Ctrl-C ends it.

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    // Any page may connect, also one opened from a file. A service with users should keep the default: its own pages.
    let server = ws::Server::bind(addr).await?.origin(ws::OriginPolicy::Any);
    println!("listening on ws://{}", server.local_addr()?);
    server.serve_until(greet_and_echo, async { drop(tokio::signal::ctrl_c().await) }).await
}

async fn greet_and_echo(mut socket: ws::Socket) -> Result<(), ws::Error> {
    println!("Client connected");
    socket.send("Welcome!").await?;
    while let Ok(Some(message)) = socket.recv().await {
        println!("Received: {message}");
        socket.send(format!("Echo: {message}")).await?;
    }
    println!("Client disconnected");
    Ok(())
}
