//! What hostile peers try before there is TLS: other bytes, half a handshake, silence. The rest of what they try goes
//! through TLS as it does without.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use trunkline_ws::rustls::pki_types::ServerName;
use trunkline_ws::{Deadline, Error, Limits, Server, Socket, TlsConfig, connect};

use crate::certificates::Authority;
use crate::ends;

/// A server of one place that serves until the runtime ends, and a client that it serves.
async fn start(authority: &Authority) -> SocketAddr {
    let certified = authority.server(&["127.0.0.1"]);
    let tls = TlsConfig::from_pem(certified.chain.as_bytes(), certified.key.as_bytes()).expect("they fit");
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let server = Server::bind("127.0.0.1:0").await.expect("a free port").limits(limits).tls(tls);
    let addr = server.local_addr().expect("it is bound");
    let echo = async |mut socket: Socket| {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok(())
    };
    tokio::spawn(server.serve(echo));
    addr
}

async fn serves(addr: SocketAddr, authority: &Authority) {
    let mut socket = loop {
        match connect(format!("wss://{addr}/")).root_certificate(authority.pem()).await {
            Ok(socket) => break socket,
            // The place is free once the task of the client before has ended.
            Err(Error::Lost(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    };
    socket.send("still there").await.expect("open");
    assert_eq!(socket.recv().await.expect("open"), Some("still there".into()));
    socket.close(1000, "").await.expect("the server answers");
}

/// The first bytes of a client that means it.
async fn client_hello(authority: &Authority) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("wss://{}/", listener.local_addr().expect("it is bound"));
    let connecting = tokio::spawn(connect(url).root_certificate(authority.pem()).into_future());
    let (mut stream, _) = listener.accept().await.expect("the client");
    let mut start = [0; 5];
    stream.read_exact(&mut start).await.expect("the head of a record");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([start[3], start[4]]))];
    stream.read_exact(&mut rest).await.expect("a record");
    drop(stream);
    assert!(matches!(connecting.await.expect("no panic"), Err(Error::Lost(_))));
    [&start[..], &rest].concat()
}

/// Dropped at once, with nothing but a TLS alert, and the place is free again.
#[tokio::test]
async fn bytes_that_are_not_tls() {
    let authority = Authority::new();
    let addr = start(&authority).await;
    let hello = client_hello(&authority).await;
    let http = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut bent = hello.clone();
    bent[5] = 0xFF;
    let truncated = [&[22, 3, 1, 0, 4, 1, 0, 0, 0][..], &hello].concat();
    for bytes in [http.as_bytes(), &[0; 64], &[0xFF; 1 << 16], &bent, &truncated, b"\x16\x03\x01\xff\xff0"] {
        let mut stream = TcpStream::connect(addr).await.expect("it listens");
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer[0] == 21, "an alert or nothing: {answer:?}");
        assert!(answer.len() <= 7, "{answer:?}");
        drop(stream);
        serves(addr, &authority).await;
    }
}

/// With the clock paused, time passes as soon as nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn t20_half_a_handshake_ends_at_the_deadline() {
    let authority = Authority::new();
    let addr = start(&authority).await;
    let hello = client_hello(&authority).await;
    for begun in [&[][..], &hello[..3], &hello[..hello.len() / 2], &hello[..]] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(addr).await.expect("it listens");
        stream.write_all(begun).await.expect("it reads");
        let _ = ends(stream.read_to_end(&mut Vec::new())).await;
        assert_eq!(start.elapsed(), Limits::default().handshake_timeout, "after {} bytes", begun.len());
        serves(addr, &authority).await;
    }
}

/// TLS and the WebSocket's handshake share one deadline: who is slow with the first has less for the second.
#[tokio::test(start_paused = true)]
async fn t20_a_head_that_does_not_come_after_tls() {
    let authority = Authority::new();
    let addr = start(&authority).await;
    let timeout = Limits::default().handshake_timeout;
    let start = Instant::now();
    let stream = TcpStream::connect(addr).await.expect("it listens");
    sleep(timeout * 7 / 10).await;
    let name = ServerName::from(addr.ip());
    let mut stream =
        TlsConnector::from(authority.client_config()).connect(name, stream).await.expect("trusted");
    let mut answer = String::new();
    ends(stream.read_to_string(&mut answer)).await.expect("an end that is announced");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(start.elapsed(), timeout);
}

/// The mirror: a server that takes the greeting and says nothing, or only the start of something.
#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer() {
    let authority = Authority::new();
    for begun in [&b""[..], b"\x16\x03\x03\x40\x00\x02"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("wss://{}/", listener.local_addr().expect("it is bound"));
        let start = Instant::now();
        let silent = async {
            let (mut stream, _) = listener.accept().await.expect("the client");
            stream.write_all(begun).await.expect("open");
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let connecting = connect(url).root_certificate(authority.pem()).into_future();
        let (error, ()) = ends(async { tokio::join!(connecting, silent) }).await;
        let error = error.expect_err("no answer");
        assert!(matches!(error, Error::Timeout(Deadline::Handshake)), "{error:?}");
        assert_eq!(start.elapsed(), Limits::default().handshake_timeout);
    }
}
