//! tokio-tungstenite's echo: its example forwards the stream into the sink, which flushes when nothing more is there.

use anyhow::Result;
use futures_util::{FutureExt, SinkExt, StreamExt, TryStreamExt, future};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_async;
use trunkline_bench_peers::{BATCH_MAX, is_batched, serve};

fn main() -> Result<()> {
    if is_batched() { serve(batched) } else { serve(example) }
}

async fn example(stream: TcpStream) -> Result<()> {
    let (write, read) = accept_async(stream).await?.split();
    read.try_filter(|message| future::ready(message.is_text() || message.is_binary())).forward(write).await?;
    Ok(())
}

async fn batched(stream: TcpStream) -> Result<()> {
    let mut socket = accept_async(stream).await?;
    while let Some(first) = socket.next().await {
        let mut next = Some(first);
        let mut room = BATCH_MAX;
        while let Some(message) = next {
            let message = message?;
            if message.is_text() || message.is_binary() {
                socket.feed(message).await?;
            }
            room -= 1;
            next = if room > 0 { socket.next().now_or_never().flatten() } else { None };
        }
        socket.flush().await?;
    }
    Ok(())
}
