//! Sends a file as one message, however big it is, and takes one in: neither end ever holds more than a piece of it.
//!
//! `cargo run --example stream_file serve FILE [ADDR:PORT]` sends FILE to whoever connects (default 127.0.0.1:8080);
//! `cargo run --example stream_file fetch URL FILE` writes what it gets to FILE.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use trunkline_ws as ws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ws::Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", file] => serve(file.into(), "127.0.0.1:8080").await,
        ["serve", file, addr] => serve(file.into(), addr).await,
        ["fetch", url, file] => fetch(url, File::create(file)?).await,
        _ => Err(ws::Error::other("stream_file serve FILE [ADDR:PORT], or stream_file fetch URL FILE")),
    }
}

async fn serve(file: PathBuf, addr: &str) -> Result<(), ws::Error> {
    let server = ws::Server::bind(addr).await?;
    println!("listening on ws://{}", server.local_addr()?);
    let file = Arc::new(file);
    let handler = move |socket| send_file(socket, file.clone());
    server.serve_until(handler, async { drop(tokio::signal::ctrl_c().await) }).await
}

async fn send_file(mut socket: ws::Socket, path: Arc<PathBuf>) -> Result<(), ws::Error> {
    let mut file = File::open(&*path)?;
    let mut message = socket.send_streamed(ws::MessageKind::Binary)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        // A few microseconds where the file is in the system's cache; a slow disk would want `spawn_blocking`.
        let size = file.read(&mut piece)?;
        if size == 0 {
            break;
        }
        // Waits while the other end reads slower than the disk.
        message.write(&piece[..size]).await?;
    }
    message.finish().await?;
    socket.close(ws::CloseCode::NORMAL, "that was all").await
}

async fn fetch(url: &str, mut file: File) -> Result<(), ws::Error> {
    let mut socket = ws::connect(url).await?;
    let Some(mut message) = socket.recv_streamed().await? else {
        return Err(ws::Error::other("the server closed without a message"));
    };
    let mut size = 0;
    while let Some(chunk) = message.chunk().await? {
        file.write_all(&chunk)?;
        size += chunk.len();
    }
    println!("received {size} bytes");
    // Until the server has closed.
    while socket.recv().await?.is_some() {}
    Ok(())
}
