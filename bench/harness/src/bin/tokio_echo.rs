//! The floor of everything that gives a connection a tokio task: bytes back as they came, no protocol.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use trunkline_bench::handshake;

/// As the other floor reads. All tasks share the buffer, so that a waiting one keeps nothing but its socket.
const READ_SIZE: usize = 128 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_SIZE]);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async {
            // A connection that ends badly ends alone.
            drop(echo(stream).await);
        });
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    shake_hands(&mut stream).await?;
    let mut rest = Vec::new();
    while poll_fn(|cx| BUFFER.with_borrow_mut(|buffer| poll_pass(&mut stream, buffer, &mut rest, cx))).await?
        > 0
    {
        if !rest.is_empty() {
            stream.write_all(&rest).await?;
            rest = Vec::new();
        }
    }
    Ok(())
}

async fn shake_hands(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    stream.write_all(handshake::ANSWER.as_bytes()).await
}

/// Reads once and writes it; what the socket did not take goes into `rest`. Not by `try_read`, which would look a second
/// time before it waits: `poll_read` knows that a read that did not fill the buffer has emptied the socket.
fn poll_pass(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    rest: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<std::io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
    let received = buffer.filled();
    let taken = match Pin::new(stream).poll_write(cx, received) {
        Poll::Pending => 0,
        Poll::Ready(taken) => taken?,
    };
    rest.extend_from_slice(&received[taken..]);
    Poll::Ready(Ok(received.len()))
}
