//! A connection on which every byte is written by hand, so that it can misbehave.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::Response;
use crate::patience::soon;
use crate::server::Server;

/// First bytes of whole frames.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// One connection, mostly over TCP.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) stream: S,
    received: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::connect_to(server.address()).await
    }

    pub(crate) async fn connect_to(address: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(address)).await;
        Self::over(stream.expect("somebody listens"))
    }

    /// Connects and becomes a WebSocket at `path`, without a subprotocol.
    pub(crate) async fn upgraded(server: &Server, path: &str) -> Self {
        let mut raw = Self::connect(server).await;
        raw.upgrade(server, path).await;
        raw
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    pub(crate) async fn upgrade(&mut self, server: &Server, path: &str) {
        self.write(handshake(server, path, &[]).as_bytes()).await;
        let response = self.response().await.expect("an answer");
        assert_eq!(response.status, 101, "{response:?}");
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon("room to write", self.stream.write_all(bytes)).await.expect("the line is open");
    }

    /// The same; the server may have had enough.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) {
        // What counts is what the server answers.
        let _ = soon("room to write", self.stream.write_all(bytes)).await;
    }

    /// Sends a proper frame; `first` is its first byte.
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&frame(first, payload)).await;
    }

    /// The next answer to a request; `None` if the line ends without one.
    pub(crate) async fn response(&mut self) -> Option<Response> {
        soon("an answer", Response::read(&mut self.stream, &mut self.received)).await
    }

    /// The next frame: its first byte and its payload. `None` at the end of the line.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let start = self.take(2).await?;
        let length = match start[1] {
            126 => self.take(2).await?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            127 => self.take(8).await?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            length => usize::from(length),
        };
        assert_eq!(start[1] & 0x80, 0, "a server does not mask");
        Some((start[0], self.take(length).await?))
    }

    /// The next message as text.
    pub(crate) async fn text(&mut self) -> String {
        let (mut first, mut payload) = self.frame().await.expect("a message");
        // On a machine that has much to do the server may ask whether we are there.
        while first == PING {
            self.try_write(&frame(PONG, &payload)).await;
            (first, payload) = self.frame().await.expect("a message");
        }
        assert_eq!(first, TEXT, "{:?}", String::from_utf8_lossy(&payload));
        String::from_utf8(payload).expect("the server sends UTF-8")
    }

    /// Reads to the end of the line; gives the code and reason of the close frame, if one came.
    pub(crate) async fn closed(&mut self) -> Option<(u16, String)> {
        let mut told = None;
        while let Some((first, payload)) = self.frame().await {
            if first == CLOSE && payload.len() >= 2 {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                told = Some((code, String::from_utf8_lossy(&payload[2..]).into_owned()));
                // A client answers; by then the server may be gone.
                self.try_write(&frame(CLOSE, &payload[..2])).await;
            }
        }
        told
    }

    async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.received.len() < count {
            let read = soon("bytes", self.stream.read_buf(&mut self.received)).await;
            if !matches!(read, Ok(size) if size > 0) {
                return None;
            }
        }
        Some(self.received.drain(..count).collect())
    }
}

/// A handshake for `path` with more header lines.
pub(crate) fn handshake(server: &Server, path: &str, more: &[&str]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        server.host()
    );
    for line in more {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request + "\r\n"
}

/// A masked frame; `first` is its first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = match payload.len() {
        length @ 0..=125 => vec![first, 0x80 | length as u8],
        length @ 126..=0xFFFF => [&[first, 0x80 | 126][..], &(length as u16).to_be_bytes()].concat(),
        length => [&[first, 0x80 | 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
