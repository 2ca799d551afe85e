//! Chat rooms: the path is the room (`/room/NAME`); what a client says goes to all who are in it, and the newest counts for
//! those who read too slowly.
//!
//! `cargo run --example rooms [ADDR:PORT]`, default 127.0.0.1:8080. Ctrl-C ends it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use trunkline_ws as ws;

/// Who is where. A room is there while somebody is in it.
#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<HashMap<String, HashMap<SocketAddr, ws::Sender>>>>);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server =
        ws::Server::bind(addr).await?.origin(ws::OriginPolicy::Any).admit(|request| match room(request) {
            Some(_) => Ok(()),
            None => Err(ws::Rejection::Other { status: 404, reason: "rooms are at /room/NAME".to_owned() }),
        });
    println!("listening on ws://{}", server.local_addr()?);
    let rooms = Rooms::default();
    let chat = move |socket| chat(socket, rooms.clone());
    server.serve_until(chat, async { drop(tokio::signal::ctrl_c().await) }).await
}

fn room<'r>(request: &ws::Request<'r>) -> Option<&'r str> {
    request.path().strip_prefix("/room/").filter(|name| !name.is_empty())
}

async fn chat(mut socket: ws::Socket, rooms: Rooms) -> Result<(), ws::Error> {
    let room = socket.request().and_then(|request| room(&request).map(str::to_owned));
    let (Some(room), Some(addr)) = (room, socket.peer_addr()) else { return Ok(()) };
    rooms.enter(&room, addr, socket.sender().when_full(ws::WhenFull::DropOldest));
    while let Ok(Some(message)) = socket.recv().await {
        rooms.say(&room, &message);
    }
    rooms.leave(&room, addr);
    Ok(())
}

impl Rooms {
    fn enter(&self, room: &str, addr: SocketAddr, sender: ws::Sender) {
        let mut rooms = self.0.lock().expect("nobody panics while holding it");
        rooms.entry(room.to_owned()).or_default().insert(addr, sender);
    }

    /// Framed once for all.
    fn say(&self, room: &str, message: &ws::Message) {
        let message = ws::PreparedMessage::new(message.kind(), message.as_bytes());
        let rooms = self.0.lock().expect("nobody panics while holding it");
        for sender in rooms.get(room).into_iter().flat_map(HashMap::values) {
            // One that is leaving misses it.
            let _ = sender.try_send_prepared(&message);
        }
    }

    fn leave(&self, room: &str, addr: SocketAddr) {
        let mut rooms = self.0.lock().expect("nobody panics while holding it");
        if let Some(clients) = rooms.get_mut(room) {
            clients.remove(&addr);
            if clients.is_empty() {
                rooms.remove(room);
            }
        }
    }
}
