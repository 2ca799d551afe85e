//! fastwebsockets' echo behind hyper. It has no buffer that answers could wait in, so there is no batched one.

use anyhow::Result;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use trunkline_bench_peers::serve;

fn main() -> Result<()> {
    serve(|stream| async {
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(accept));
        Ok(connection.with_upgrades().await?)
    })
}

async fn accept(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(async {
        // A connection that ends badly ends alone.
        drop(echo(upgraded).await);
    }));
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
