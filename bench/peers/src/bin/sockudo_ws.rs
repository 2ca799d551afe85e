//! sockudo-ws' echo: the handshake by hand, as in its example, then its stream.

use anyhow::{Result, bail};
use bytes::BytesMut;
use futures_util::{FutureExt, SinkExt, StreamExt};
use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
use sockudo_ws::{Config, Message, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline_bench_peers::{BATCH_MAX, is_batched, serve};

fn main() -> Result<()> {
    if is_batched() { serve(batched) } else { serve(example) }
}

async fn example(stream: TcpStream) -> Result<()> {
    let mut socket = accept(stream).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Close(_) => break,
            message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn batched(stream: TcpStream) -> Result<()> {
    let mut socket = accept(stream).await?;
    while let Some(first) = socket.next().await {
        let mut next = Some(first);
        let mut room = BATCH_MAX;
        while let Some(message) = next {
            match message? {
                Message::Close(_) => return Ok(()),
                message @ (Message::Text(_) | Message::Binary(_)) => socket.feed(message).await?,
                _ => {}
            }
            room -= 1;
            next = if room > 0 { socket.next().now_or_never().flatten() } else { None };
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn accept(mut stream: TcpStream) -> Result<WebSocketStream<TcpStream>> {
    let mut head = BytesMut::with_capacity(4096);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            bail!("it went away");
        }
        if let Some((request, _)) = parse_request(&head)? {
            let response = build_response(&generate_accept_key(request.key), None, None);
            stream.write_all(&response).await?;
            return Ok(WebSocketStream::server(stream, Config::default()));
        }
    }
}
