//! yawc's echo behind hyper; batched, with the larger buffers that its own comparison uses.

use anyhow::Result;
use futures_util::{FutureExt, SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use trunkline_bench_peers::{BATCH_MAX, is_batched, serve};
use yawc::{OpCode, Options, UpgradeFut, WebSocket};

fn main() -> Result<()> {
    serve(|stream| async {
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(accept));
        Ok(connection.with_upgrades().await?)
    })
}

async fn accept(mut request: Request<Incoming>) -> yawc::Result<Response<Empty<Bytes>>> {
    let mut options = Options::default().with_utf8().without_compression();
    if is_batched() {
        options = options.with_read_buffer_capacity(128 << 10).with_backpressure_boundary(64 << 10);
    }
    let (response, upgraded) = WebSocket::upgrade_with_options(&mut request, options)?;
    tokio::spawn(async {
        // A connection that ends badly ends alone.
        drop(if is_batched() { batched(upgraded).await } else { example(upgraded).await });
    });
    Ok(response)
}

async fn example(upgraded: UpgradeFut) -> yawc::Result<()> {
    let mut socket = upgraded.await?;
    while let Some(frame) = socket.next().await {
        if matches!(frame.opcode(), OpCode::Text | OpCode::Binary) {
            socket.send(frame).await?;
        }
    }
    Ok(())
}

async fn batched(upgraded: UpgradeFut) -> yawc::Result<()> {
    let mut socket = upgraded.await?;
    while let Some(first) = socket.next().await {
        let mut next = Some(first);
        let mut room = BATCH_MAX;
        while let Some(frame) = next {
            if matches!(frame.opcode(), OpCode::Text | OpCode::Binary) {
                socket.feed(frame).await?;
            }
            room -= 1;
            next = if room > 0 { socket.next().now_or_never().flatten() } else { None };
        }
        socket.flush().await?;
    }
    Ok(())
}
