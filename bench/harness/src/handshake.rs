//! The client's half of a WebSocket handshake, no more than a load generator needs.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The example of RFC 6455 §1.3. All connections use it, so that the floors can know its answer by heart.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a server has to answer to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a floor answers, whatever it was asked.
pub const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// How long a server may take over anything before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(10);

const HEAD_SIZE_MAX: usize = 8 << 10;

/// Connects and shakes hands. The stream blocks, with a deadline.
pub fn connect(address: SocketAddr, path: &str, deflate: bool) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).context("cannot connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let offer =
        if deflate { "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" } else { "" };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let head = read_head(&mut stream).context("no answer to the handshake")?;
    let agreed = head.to_ascii_lowercase().contains("sec-websocket-extensions: permessage-deflate");
    if !head.starts_with("HTTP/1.1 101 ") || !head.contains(ACCEPT) || agreed != deflate {
        bail!("this is not the answer to our handshake: {head}");
    }
    Ok(stream)
}

/// Servers say nothing unasked after the head, so it may be read in any pieces.
fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) => bail!("the connection was closed"),
            Ok(size) => head.extend_from_slice(&piece[..size]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        if head.len() > HEAD_SIZE_MAX {
            bail!("the head has no end");
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
