//! An echo over TLS. As a server it shows a certificate, as a client it trusts the authority that it is given:
//!
//! `cargo run --example tls_echo ADDR:PORT CERTIFICATE.pem KEY.pem`, or
//! `cargo run --example tls_echo wss://HOST:PORT [AUTHORITY.pem]`; without a file the client trusts whom the operating
//! system does. Ctrl-C ends the server.

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [url] if url.starts_with("wss://") => talk(ws::connect(url)).await,
        [url, authority] => talk(ws::connect(url).root_certificate(std::fs::read(authority)?)).await,
        [addr, certificate, key] => serve(addr, ws::TlsConfig::from_pem_files(certificate, key)?).await,
        _ => Err(ws::Error::other("usage: tls_echo ADDR:PORT CERTIFICATE KEY | tls_echo URL [AUTHORITY]")),
    }
}

async fn serve(addr: &str, tls: ws::TlsConfig) -> Result<(), ws::Error> {
    let server = ws::Server::bind(addr).await?.tls(tls);
    println!("listening on wss://{}", server.local_addr()?);
    server.serve_until(echo, async { drop(tokio::signal::ctrl_c().await) }).await
}

async fn echo(mut socket: ws::Socket) -> Result<(), ws::Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

async fn talk(connect: ws::Connect) -> Result<(), ws::Error> {
    let mut socket = connect.await?;
    socket.send("Hello over TLS!").await?;
    if let Some(message) = socket.recv().await? {
        println!("{message}");
    }
    socket.close(ws::CloseCode::NORMAL, "").await
}
