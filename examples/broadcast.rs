//! A chat: whatever a client sends, such as `{ "type": "chat", "text": "Hi" }`, goes to every client, itself included.
//!
//! `cargo run --example broadcast [ADDR:PORT]`, default 127.0.0.1:8080. Ctrl-C ends it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use trunkline_ws as ws;

type Clients = Arc<Mutex<HashMap<SocketAddr, ws::Sender>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    // Any page may connect, also one opened from a file. A service with users should keep the default: its own pages.
    let server = ws::Server::bind(addr).await?.origin(ws::OriginPolicy::Any);
    println!("listening on ws://{}", server.local_addr()?);
    let clients = Clients::default();
    let chat = move |socket| chat(socket, clients.clone());
    server.serve_until(chat, async { drop(tokio::signal::ctrl_c().await) }).await
}

async fn chat(mut socket: ws::Socket, clients: Clients) -> Result<(), ws::Error> {
    let Some(addr) = socket.peer_addr() else { return Ok(()) };
    clients.lock().expect("nobody panics while holding it").insert(addr, socket.sender());
    while let Ok(Some(message)) = socket.recv().await {
        // Framed once for all. A client whose queue is full misses the message; it does not make the others wait.
        let message = ws::PreparedMessage::new(message.kind(), message.as_bytes());
        for client in clients.lock().expect("nobody panics while holding it").values() {
            let _ = client.try_send_prepared(&message);
        }
    }
    clients.lock().expect("nobody panics while holding it").remove(&addr);
    Ok(())
}
