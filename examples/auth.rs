//! Lets in who shows a token, in the handshake: others get a 401 and never a socket. Then it greets them by name.
//!
//! `cargo run --example auth [ADDR:PORT]`, default 127.0.0.1:8080. `secret-of-ada` is a token. Ctrl-C ends it.

use trunkline_ws as ws;

/// A service would ask its database, and compare digests of tokens, whose comparison tells nothing about them.
const TOKENS: [(&str, &str); 2] = [("Ada", "secret-of-ada"), ("Grace", "secret-of-grace")];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = ws::Server::bind(addr).await?.admit(|request| match user(request) {
        Some(_) => Ok(()),
        None => Err(ws::Rejection::Other { status: 401, reason: "a token is needed".to_owned() }),
    });
    println!("listening on ws://{}", server.local_addr()?);
    server.serve_until(greet, async { drop(tokio::signal::ctrl_c().await) }).await
}

/// Programs send `Authorization: Bearer …`; browsers cannot, and say it in the query instead.
fn user(request: &ws::Request<'_>) -> Option<&'static str> {
    let header = request.header("authorization").and_then(|value| value.strip_prefix(b"Bearer "));
    let query = request.query().and_then(|query| query.strip_prefix("token=")).map(str::as_bytes);
    let token = header.or(query)?;
    TOKENS.iter().find(|(_, known)| known.as_bytes() == token).map(|(name, _)| *name)
}

async fn greet(mut socket: ws::Socket) -> Result<(), ws::Error> {
    let name = socket.request().and_then(|request| user(&request)).unwrap_or_default();
    socket.send(format!("Hello, {name}!")).await?;
    while socket.recv().await?.is_some() {}
    Ok(())
}
