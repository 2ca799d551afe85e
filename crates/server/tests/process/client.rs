//! A client of `trunkline.v1` that keeps nothing in order by itself: it sends JSON and reads JSON. Used by all
//! tests that behave; those that misbehave write bytes (`raw`).

use std::collections::VecDeque;

use serde_json::{Value, json};
use trunkline_ws::{Compression, Connect, Message, Socket};

use crate::patience::soon;
use crate::server::Server;

/// One connection to `/ws`.
pub(crate) struct Client {
    socket: Socket,
    unread: VecDeque<Value>,
    next_id: u64,
}

impl Client {
    /// Connects with the subprotocol, without saying anything.
    pub(crate) async fn open(server: &Server) -> Self {
        Self::try_open(&server.url("/ws")).await.expect("the server takes connections")
    }

    /// The same; the server may be about to die.
    pub(crate) async fn try_open(url: &str) -> Option<Self> {
        Self::by(trunkline_ws::connect(url)).await
    }

    /// The same, with an offer of compression.
    pub(crate) async fn compressing(server: &Server) -> Self {
        let connecting = trunkline_ws::connect(server.url("/ws")).compression(Compression::default());
        Self::by(connecting).await.expect("the server takes connections")
    }

    /// The same, as it was made ready.
    pub(crate) async fn by(connecting: Connect) -> Option<Self> {
        let connecting = connecting.subprotocol("trunkline.v1");
        let socket = soon("a connection", connecting.into_future()).await.ok()?;
        Some(Self { socket, unread: VecDeque::new(), next_id: 1_000_000 })
    }

    pub(crate) async fn send(&mut self, command: &Value) {
        self.say(&command.to_string()).await;
    }

    /// The same as text, JSON or not.
    pub(crate) async fn say(&mut self, text: &str) {
        soon("room to send", self.socket.send(text)).await.expect("the line is open");
    }

    /// The same; `false` if the line is gone.
    pub(crate) async fn try_send(&mut self, command: &Value) -> bool {
        soon("room to send", self.socket.send(command.to_string())).await.is_ok()
    }

    /// The next message; there must be one.
    pub(crate) async fn next(&mut self) -> Value {
        match self.try_next().await {
            Some(message) => message,
            None => panic!("the line was closed: {:?}", self.socket.close_frame()),
        }
    }

    /// The next message, `None` at the end of the line.
    pub(crate) async fn try_next(&mut self) -> Option<Value> {
        if let Some(message) = self.unread.pop_front() {
            return Some(message);
        }
        match soon("a message", self.socket.recv()).await {
            Ok(Some(Message::Text(text))) => {
                Some(serde_json::from_str(&text).expect("the server sends JSON"))
            }
            Ok(Some(Message::Binary(bytes))) => panic!("{} bytes that are no text", bytes.len()),
            Ok(None) | Err(_) => None,
        }
    }

    /// Reads to the end of the line; gives the close code.
    pub(crate) async fn closed(&mut self) -> u16 {
        while self.try_next().await.is_some() {}
        self.close_code()
    }

    /// Why the line ended.
    pub(crate) fn close_code(&self) -> u16 {
        self.socket.close_frame().expect("the line has ended").code.0
    }

    /// Sends `command` with an id of its own and gives its answer; what comes in between is kept for `next`.
    pub(crate) async fn ask(&mut self, mut command: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = id.into();
        self.send(&command).await;
        self.answer(id).await
    }

    /// The answer to the command `id`; what comes in between is kept for `next`.
    pub(crate) async fn answer(&mut self, id: u64) -> Value {
        let mut between = Vec::new();
        let answer = loop {
            let message = self.next().await;
            if message["id"] == id {
                break message;
            }
            between.push(message);
        };
        self.unread.extend(between);
        answer
    }

    /// Publishes JSON and gives the answer.
    pub(crate) async fn publish(&mut self, channel: &str, data: &Value) -> Value {
        self.ask(json!({ "type": "publish", "channel": channel, "data": data })).await
    }

    /// Says goodbye properly.
    pub(crate) async fn close(mut self) {
        soon("the closing handshake", self.socket.close(1000, "")).await.expect("the server answers a close");
    }
}

/// Whether a new client can subscribe, publish and hear itself: after whatever was done to `server`.
pub(crate) async fn check_alive(server: &Server) {
    let mut client = Client::open(server).await;
    let subscribed = client.ask(json!({ "type": "subscribe", "channel": "chat:alive" })).await;
    assert_eq!(subscribed["type"], "subscribed", "{subscribed}");
    let published = client.publish("chat:alive", &json!("still here")).await;
    assert_eq!(published["type"], "published", "{published}");
    let heard = client.next().await;
    assert_eq!((&heard["data"], &heard["offset"]), (&json!("still here"), &published["offset"]), "{heard}");
    client.close().await;
}
