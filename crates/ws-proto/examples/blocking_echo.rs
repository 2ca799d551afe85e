//! The core without a runtime: an echo server on the standard library's blocking sockets, a thread for each connection.
//! All that is about WebSocket is in `trunkline-ws-proto`; what is here reads and writes.
//!
//! `cargo run -p trunkline-ws-proto --example blocking_echo [ADDR:PORT]`, default 127.0.0.1:8080.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use trunkline_ws_proto::handshake::{AcceptOptions, HandshakeLimits, HeadScan, Parsed, Request, accept};
use trunkline_ws_proto::{Connection, Incoming, Limits, Rejection, Role, unmasked};

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(addr)?;
    println!("listening on ws://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || serve(stream));
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    // Deadlines are the shell's: a client that says nothing for a minute is dropped.
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    match handshake(&mut stream)? {
        Ok(received) => echo(&mut stream, received),
        Err(rejection) => stream.write_all(&rejection.response()),
    }
}

/// Reads the request's head and answers it. Returns what came behind the head: the first frames.
fn handshake(stream: &mut TcpStream) -> io::Result<Result<Vec<u8>, Rejection>> {
    let (limits, options) = (HandshakeLimits::default(), AcceptOptions::default());
    let (mut received, mut scan, mut buffer) = (Vec::new(), HeadScan::default(), [0; 4096]);
    loop {
        match scan.find(&received, &limits) {
            Ok(Some(_)) => break,
            Ok(None) => {}
            Err(rejection) => return Ok(Err(rejection)),
        }
        let size = stream.read(&mut buffer)?;
        if size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received.extend_from_slice(&buffer[..size]);
    }
    let accepted = match Request::parse(&received, &limits) {
        Ok(Parsed::Complete { request, head_size }) => accept(&request, &options).map(|it| (it, head_size)),
        Ok(Parsed::Partial) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(rejection) => Err(rejection),
    };
    Ok(match accepted {
        Ok((accepted, head_size)) => {
            stream.write_all(&accepted.response())?;
            Ok(received.split_off(head_size))
        }
        Err(rejection) => Err(rejection),
    })
}

/// Bytes in, bytes out, until both sides have closed.
fn echo(stream: &mut TcpStream, mut received: Vec<u8>) -> io::Result<()> {
    let mut connection = Connection::new(Role::Server, Limits::default());
    let (mut buffer, mut out) = ([0; 16 << 10], Vec::new());
    loop {
        turn(&mut connection, &mut received, &mut out);
        stream.write_all(&out)?;
        out.clear();
        if connection.is_closed() {
            return Ok(());
        }
        let size = stream.read(&mut buffer)?;
        if size == 0 {
            return Ok(());
        }
        received.clear();
        received.extend_from_slice(&buffer[..size]);
    }
}

/// Everything that one read brought, and the answers to it.
fn turn(connection: &mut Connection, mut input: &mut [u8], out: &mut Vec<u8>) {
    loop {
        match connection.receive(&mut input) {
            Ok(Some(Incoming::Message { kind, payload })) => {
                // An error means that the line is closing, which the next `receive` says too.
                let _ = connection.send(kind, &payload, unmasked, out);
            }
            Ok(Some(Incoming::Ping(_))) => {
                connection.poll_transmit(unmasked, out);
            }
            Ok(Some(Incoming::Pong(_) | Incoming::Close(_))) => {}
            Ok(None) => break,
            // It happens once; the close frame that tells the client is queued.
            Err(error) => eprintln!("closing with {}: {error}", error.close_code()),
        }
    }
    connection.poll_transmit(unmasked, out);
}
