//! `wss://` over loopback: what a socket does must be what it does without TLS; whom a client trusts, and whom not.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use trunkline_ws::rustls::crypto::CryptoProvider;
use trunkline_ws::rustls::crypto::aws_lc_rs::default_provider;
use trunkline_ws::rustls::pki_types::pem::PemObject;
use trunkline_ws::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use trunkline_ws::rustls::server::WebPkiClientVerifier;
use trunkline_ws::rustls::server::danger::ClientCertVerifier;
use trunkline_ws::rustls::{AlertDescription, ClientConfig, ServerConfig};
use trunkline_ws::{
    CloseCode, Compression, Connect, Error, HandshakeError, Limits, Message, Server, Socket, TlsConfig,
    TlsError, connect,
};

use crate::certificates::{Authority, Certified, self_signed};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// By address, as the certificates here have it.
    fn url(&self) -> String {
        format!("wss://{}/", self.addr)
    }

    async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("no panic").expect("no error");
    }
}

/// An echo server that shows this certificate.
async fn start(certified: &Certified, configure: impl FnOnce(Server) -> Server) -> Running {
    let tls = TlsConfig::from_pem(certified.chain.as_bytes(), certified.key.as_bytes()).expect("they fit");
    start_with(|server| configure(server.tls(tls))).await
}

async fn start_with(configure: impl FnOnce(Server) -> Server) -> Running {
    let server = configure(Server::bind("127.0.0.1:0").await.expect("a free port"));
    let addr = server.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel();
    let echo = async |mut socket: Socket| {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok(())
    };
    let task = tokio::spawn(server.serve_until(echo, async { drop(stopped.await) }));
    Running { addr, stop, task }
}

fn trusting(url: String, authority: &Authority) -> Connect {
    connect(url).root_certificate(authority.pem())
}

async fn echoes(socket: &mut Socket, message: impl Into<Message>) {
    let message = message.into();
    socket.send(message.clone()).await.expect("open");
    assert_eq!(socket.recv().await.expect("open"), Some(message));
}

#[tokio::test]
async fn by_name_and_by_address() {
    let authority = Authority::new();
    let server = start(&authority.server(&NAMES), |server| server).await;
    for url in [server.url(), format!("wss://localhost:{}/any?query", server.addr.port())] {
        for root in [authority.pem().into_bytes(), authority.der()] {
            let mut socket = connect(&url).root_certificate(root).await.expect("trusted");
            assert_eq!(socket.peer_addr(), Some(server.addr));
            echoes(&mut socket, "Hello").await;
            socket.close(3000, "done").await.expect("the server answers");
            let frame = socket.close_frame().expect("closed");
            assert_eq!((frame.code.0, &*frame.reason), (3000, "done"));
        }
    }
    let mut socket = connect(server.url()).tls(authority.client_config()).await.expect("trusted");
    socket.close(1000, "").await.expect("the server answers");
    assert!(CryptoProvider::get_default().is_none(), "the process is left to the application");
    server.stop().await;
}

#[tokio::test]
async fn echo_of_all_sizes() {
    let authority = Authority::new();
    let server = start(&authority.server(&NAMES), |server| server).await;
    let mut socket = trusting(server.url(), &authority).await.expect("trusted");
    for size in [0, 1, 125, 126, 16_384, 65_535, 65_536, 1 << 20] {
        echoes(&mut socket, "x".repeat(size)).await;
        echoes(&mut socket, vec![7; size]).await;
    }
    socket.close(1000, "").await.expect("the server answers");
    server.stop().await;
}

/// Both ends write until nothing fits any more; each goes on only because the other is read at the same time.
#[tokio::test]
async fn big_messages_both_ways_at_once() {
    let authority = Authority::new();
    let server = start(&authority.server(&NAMES), |server| server).await;
    let mut socket = trusting(server.url(), &authority).await.expect("trusted");
    let sender = socket.sender();
    let messages: Vec<Vec<u8>> = (0..8).map(|n| vec![n; 1 << 20]).collect();
    let outgoing = messages.clone();
    tokio::spawn(async move {
        for message in outgoing {
            sender.send(message).await.expect("open");
        }
    });
    for message in messages {
        assert_eq!(socket.recv().await.expect("open"), Some(message.into()));
    }
    socket.close(1000, "").await.expect("the server answers");
    server.stop().await;
}

#[tokio::test]
async fn compression_over_tls() {
    let authority = Authority::new();
    let compress = |server: Server| server.compression(Compression::default());
    let server = start(&authority.server(&NAMES), compress).await;
    let connecting = trusting(server.url(), &authority).compression(Compression::default());
    let mut socket = connecting.await.expect("trusted");
    assert!(socket.compression().is_some());
    echoes(&mut socket, "the quick brown fox ".repeat(50_000)).await;
    socket.close(1000, "").await.expect("the server answers");
    server.stop().await;
}

#[tokio::test]
async fn shutdown_closes_every_socket_with_1001() {
    let authority = Authority::new();
    let server = start(&authority.server(&NAMES), |server| server).await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        let mut socket = trusting(server.url(), &authority).await.expect("trusted");
        echoes(&mut socket, "hello").await;
        sockets.push(socket);
    }
    let clients = tokio::spawn(async move {
        for socket in &mut sockets {
            assert!(matches!(socket.recv().await, Ok(None)));
            assert_eq!(socket.close_frame().map(|frame| frame.code), Some(CloseCode::GOING_AWAY));
        }
    });
    server.stop().await;
    clients.await.expect("all were told");
}

/// Every method is dropped after each of its polls, and begun again.
#[tokio::test]
async fn cancelled_at_every_await() {
    let authority = Authority::new();
    let server = start(&authority.server(&NAMES), |server| server).await;
    let mut socket = trusting(server.url(), &authority).await.expect("trusted");
    let big = Message::from("y".repeat(12 << 20));
    assert!(crate::raw::poll_once(socket.send(big.clone())).is_pending(), "more than fits");
    let mut echo = None;
    while echo.is_none() {
        tokio::select! {
            biased;
            message = socket.recv() => echo = message.expect("open"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(echo, Some(big));
    while crate::raw::poll_once(socket.close(1000, "")).is_pending() {
        tokio::task::yield_now().await;
    }
    assert_eq!(socket.close_frame().map(|frame| frame.code.0), Some(1000));
    server.stop().await;
}

/// What a client without doubts sends an attacker is nothing but its greeting.
#[tokio::test]
async fn servers_that_are_not_who_they_should_be() {
    let (authority, stranger, impostor) = (Authority::new(), Authority::named("Other"), Authority::new());
    type Check = fn(&TlsError) -> bool;
    let cases: [(Certified, Check, &str); 6] = [
        (self_signed(&NAMES), |error| matches!(error, TlsError::UnknownIssuer), "not signed by"),
        (stranger.server(&NAMES), |error| matches!(error, TlsError::UnknownIssuer), "root_certificate"),
        (impostor.server(&NAMES), |error| matches!(error, TlsError::Certificate(_)), "BadSignature"),
        (
            authority.server(&["example.com", "*.example.org"]),
            |error| matches!(error, TlsError::NameMismatch { presented, .. } if presented.len() == 2),
            "not for \"127.0.0.1\", but for",
        ),
        (
            authority.server_between(&NAMES, 2000, 2001),
            |error| matches!(error, TlsError::Expired),
            "has expired, or the clock",
        ),
        (
            authority.server_between(&NAMES, 4000, 4001),
            |error| matches!(error, TlsError::NotValidYet),
            "not valid yet, or the clock",
        ),
    ];
    for (certified, expected, words) in cases {
        let admit = |_: &trunkline_ws::Request<'_>| panic!("it has told its secret");
        let server = start(&certified, |server| server.admit(admit)).await;
        match trusting(server.url(), &authority).bearer("secret").await {
            Err(Error::Tls(error)) => {
                assert!(expected(&error), "{error:?}");
                assert!(error.to_string().contains(words), "{error}");
                assert!(!Error::Tls(error).is_retryable(), "a certificate does not mend by itself");
            }
            other => panic!("{words}: {other:?}"),
        }
        server.stop().await;
    }
}

/// The authorities of this machine, or their absence, do not make a stranger one of them.
#[tokio::test]
async fn the_systems_authorities_do_not_know_ours() {
    let authority = Authority::new();
    let server = start(&authority.server(&NAMES), |server| server).await;
    let error = connect(server.url()).await.expect_err("nobody knows it");
    assert!(matches!(error, Error::Tls(TlsError::UnknownIssuer | TlsError::Config(_))), "{error:?}");
    server.stop().await;
}

fn chain(certified: &Certified) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(certified.chain.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).expect("a key");
    (chain.collect::<Result<_, _>>().expect("PEM"), key)
}

fn server_config(authority: &Authority, verifier: Arc<dyn ClientCertVerifier>) -> ServerConfig {
    let (certificates, key) = chain(&authority.server(&NAMES));
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)
        .expect("they fit")
}

fn client_config(authority: &Authority, certified: &Certified) -> ClientConfig {
    let (certificates, key) = chain(certified);
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(authority.roots())
        .with_client_auth_cert(certificates, key)
        .expect("they fit")
}

#[tokio::test]
async fn client_certificates() {
    let (authority, stranger) = (Authority::new(), Authority::named("Other"));
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(authority.roots()),
        Arc::new(default_provider()),
    );
    let config = server_config(&authority, verifier.build().expect("a verifier"));
    let server = start_with(|server| server.tls(Arc::new(config))).await;
    let config = client_config(&authority, &authority.client("a client"));
    let mut socket = connect(server.url()).tls(config).await.expect("both trust each other");
    echoes(&mut socket, "it is me").await;
    socket.close(1000, "").await.expect("the server answers");
    let config = client_config(&authority, &stranger.client("a client"));
    let error = connect(server.url()).tls(config).await.expect_err("signed by a stranger");
    assert!(matches!(error, Error::Tls(TlsError::Refused(_))), "{error:?}");
    match trusting(server.url(), &authority).await {
        Err(Error::Tls(TlsError::Refused(alert))) => assert_eq!(alert, AlertDescription::CertificateRequired),
        other => panic!("{other:?}"),
    }
    server.stop().await;
}

/// Configurations that are shared with an HTTP library offer HTTP/2 first, and who is offered it takes it.
#[tokio::test]
async fn nobody_is_led_to_http_2() {
    let authority = Authority::new();
    let two = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut server_config = server_config(&authority, WebPkiClientVerifier::no_client_auth());
    let mut client_config = client_config(&authority, &authority.client("a client"));
    (server_config.alpn_protocols, client_config.alpn_protocols) = (two.clone(), two);
    let name = ServerName::try_from("localhost").expect("a name");
    let (ours, shared) = (
        start(&authority.server(&NAMES), |server| server).await,
        start_with(|server| server.tls(Arc::new(server_config.clone()))).await,
    );
    for server in [ours, shared] {
        let stream = TcpStream::connect(server.addr).await.expect("it listens");
        let connector = TlsConnector::from(Arc::new(client_config.clone()));
        let stream = connector.connect(name.clone(), stream).await.expect("trusted");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        drop(stream);
        server.stop().await;
    }
    let acceptor = TlsAcceptor::from(Arc::new(server_config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("wss://{}/", listener.local_addr().expect("it is bound"));
    for client in [connect(&url).root_certificate(authority.pem()), connect(&url).tls(client_config)] {
        let accepting = async {
            let (stream, _) = listener.accept().await.expect("the client");
            let stream = acceptor.accept(stream).await.expect("it trusts us");
            stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
        };
        let (_, protocol) = tokio::join!(client.into_future(), accepting);
        assert_eq!(protocol, Some(b"http/1.1".to_vec()));
    }
}

#[tokio::test]
async fn what_is_wrong_before_there_is_a_connection() {
    let authority = Authority::new();
    let (one, other) = (authority.server(&NAMES), authority.server(&NAMES));
    for (chain, key, words) in [
        (&*one.chain, &*other.key, "cannot be used"),
        (&*one.chain, "", "no private key"),
        ("", &*one.key, "no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", &*one.key, "cannot be read"),
    ] {
        match TlsConfig::from_pem(chain.as_bytes(), key.as_bytes()) {
            Err(Error::Tls(error @ TlsError::Config(_))) => {
                assert!(error.to_string().contains(words), "{error}")
            }
            other => panic!("{words}: {other:?}"),
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, &one.chain).expect("written");
    let missing = TlsConfig::from_pem_files(&chain, &key).expect_err("no key").to_string();
    assert!(missing.contains("key.pem cannot be read"), "{missing}");
    std::fs::write(&key, &one.key).expect("written");
    TlsConfig::from_pem_files(&chain, &key).expect("both are there");
    let error = connect("wss://127.0.0.1:1/").root_certificate("neither").await.expect_err("no certificate");
    assert!(matches!(&error, Error::Tls(TlsError::Config(_))), "{error:?}");
    let error = connect("wss://a~b:1/").root_certificate(authority.pem()).await.expect_err("no name");
    assert!(matches!(&error, Error::Tls(TlsError::Config(_))), "{error:?}");
}

/// `wss://` to a port without TLS, and `ws://` to one with it: each is told what to try instead.
#[tokio::test]
async fn the_wrong_scheme() {
    let authority = Authority::new();
    let (plain, tls) =
        (start_with(|server| server).await, start(&authority.server(&NAMES), |server| server).await);
    let error = trusting(plain.url(), &authority).await.expect_err("no TLS there");
    assert!(matches!(error, Error::Tls(TlsError::NotTls)), "{error:?}");
    let error = connect(format!("ws://{}/", tls.addr)).await.expect_err("TLS there");
    assert!(matches!(error, Error::Handshake(HandshakeError::Malformed(_))), "{error:?}");
    assert!(error.to_string().contains("wss://"), "{error}");
    plain.stop().await;
    tls.stop().await;
}

/// The line as somebody between the two ends sees it and can cut it.
async fn relayed(server: &Running, authority: &Authority) -> (Socket, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("wss://{}/", listener.local_addr().expect("it is bound"));
    let connecting = tokio::spawn(trusting(url, authority).into_future());
    let (mut near, _) = listener.accept().await.expect("the client");
    let mut far = TcpStream::connect(server.addr).await.expect("it listens");
    let mut connecting = std::pin::pin!(connecting);
    let socket = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => panic!("it has ended"),
        socket = &mut connecting => socket.expect("no panic").expect("trusted"),
    };
    (socket, near, far)
}

/// An end of the TCP connection that TLS has not announced may be anybody's work.
#[tokio::test]
async fn a_cut_is_no_end() {
    let authority = Authority::new();
    let server = start(&authority.server(&NAMES), |server| server).await;
    let (mut socket, near, far) = relayed(&server, &authority).await;
    drop((near, far));
    let error = socket.recv().await.expect_err("cut");
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
    assert_eq!(error.close_code(), Some(CloseCode::ABNORMAL));
    server.stop().await;
}

/// Where the last record begins, in bytes that are nothing but whole records.
fn last_record(mut bytes: &[u8]) -> &[u8] {
    loop {
        let size = 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        if bytes.len() == size {
            return bytes;
        }
        bytes = &bytes[size..];
    }
}

/// Both ends say `close_notify`. In TLS 1.3 it looks like all the rest, but an alert of 2 bytes has a size of its own: with
/// its type and its tag 19.
#[tokio::test]
async fn both_ends_announce_their_end() {
    let authority = Authority::new();
    let server = start(&authority.server(&NAMES), |server| server).await;
    let (mut socket, mut near, mut far) = relayed(&server, &authority).await;
    let closing = tokio::spawn(async move { socket.close(1000, "").await });
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    // The client's close frame, the server's answer and end, the client's end.
    near.read_buf(&mut from_client).await.expect("the client's close frame");
    far.write_all(&from_client).await.expect("open");
    far.read_to_end(&mut from_server).await.expect("the server's end");
    near.write_all(&from_server).await.expect("open");
    near.shutdown().await.expect("open");
    near.read_to_end(&mut from_client).await.expect("the client's end");
    closing.await.expect("no panic").expect("closed cleanly");
    for (who, bytes) in [("client", from_client), ("server", from_server)] {
        assert_eq!(last_record(&bytes).len(), 5 + 2 + 1 + 16, "{who}");
    }
    drop(far);
    server.stop().await;
}

#[tokio::test]
async fn the_limit_on_open_connections() {
    let authority = Authority::new();
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let server = start(&authority.server(&NAMES), |server| server.limits(limits)).await;
    let silent = TcpStream::connect(server.addr).await.expect("it listens");
    // Its place is taken before it has said anything.
    let refused = trusting(server.url(), &authority).await;
    assert!(matches!(refused, Err(Error::Lost(_))), "{refused:?}");
    drop(silent);
    while trusting(server.url(), &authority).await.is_err() {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}
