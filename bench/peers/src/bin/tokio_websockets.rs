//! tokio-websockets' echo.

use anyhow::Result;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::ServerBuilder;
use trunkline_bench_peers::{BATCH_MAX, is_batched, serve};

fn main() -> Result<()> {
    if is_batched() { serve(batched) } else { serve(example) }
}

async fn example(stream: TcpStream) -> Result<()> {
    let (_, mut socket) = ServerBuilder::new().accept(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Its stream flushes what is pending whenever it is asked for more, so a batch is taken before it is answered.
async fn batched(stream: TcpStream) -> Result<()> {
    let (_, mut socket) = ServerBuilder::new().accept(stream).await?;
    let mut batch = Vec::new();
    while let Some(first) = socket.next().await {
        batch.push(first?);
        while batch.len() < BATCH_MAX
            && let Some(Some(message)) = socket.next().now_or_never()
        {
            batch.push(message?);
        }
        for message in batch.drain(..).filter(|message| message.is_text() || message.is_binary()) {
            socket.feed(message).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}
