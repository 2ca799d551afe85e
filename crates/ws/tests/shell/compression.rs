//! Compressed lines over loopback: what is agreed on, what goes over the wire, the limits, and broadcasts.

use tokio::task::JoinHandle;
use trunkline_ws::{
    CloseCode, Compression, DeflateOptions, DeflateParams, Error, Limits, Message, PreparedMessage,
    ProtocolError, Role, Server, Socket, connect,
};

const TAKEOVER: DeflateParams = DeflateParams {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

fn compression(params: DeflateParams) -> Option<Compression> {
    Some(Compression { params, options: DeflateOptions::default() })
}

/// An echo server; the task ends with the test.
async fn echo_server(
    compression: Option<Compression>,
    limits: Limits,
) -> (String, JoinHandle<Result<(), Error>>) {
    let mut server = Server::bind("127.0.0.1:0").await.expect("a free port").limits(limits);
    if let Some(compression) = compression {
        server = server.compression(compression);
    }
    let url = format!("ws://{}", server.local_addr().expect("it is bound"));
    let echo = |mut socket: Socket| async move {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok(())
    };
    (url, tokio::spawn(server.serve(echo)))
}

async fn client(url: &str, compression: Option<Compression>) -> Socket {
    let mut connect = connect(url);
    if let Some(compression) = compression {
        connect = connect.compression(compression);
    }
    connect.await.expect("it is accepted")
}

fn messages() -> Vec<Message> {
    let json = r#"{"id":17,"name":"somebody","text":"the quick brown fox"},"#;
    vec![
        Message::from("short"),
        Message::from(json.repeat(20)),
        Message::from(json.repeat(10_000)),
        Message::from(vec![7; 300_000]),
        Message::from((0..200_000u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect::<Vec<_>>()),
        Message::from(""),
        Message::from(json.repeat(20)),
    ]
}

#[tokio::test]
async fn echoes_whatever_the_two_ends_want() {
    let small = DeflateParams { server_max_window_bits: 9, client_max_window_bits: 8, ..TAKEOVER };
    let wishes = [None, compression(DeflateParams::default()), compression(TAKEOVER), compression(small)];
    for wish in wishes {
        let (url, server) = echo_server(wish, Limits::default()).await;
        for offer in wishes {
            let mut socket = client(&url, offer).await;
            assert_eq!(socket.compression().is_some(), wish.is_some() && offer.is_some());
            for message in messages() {
                socket.send(message.clone()).await.expect("open");
                assert_eq!(socket.recv().await.expect("open"), Some(message));
            }
            socket.close(CloseCode::NORMAL, "").await.expect("clean");
        }
        server.abort();
    }
}

#[tokio::test]
async fn what_is_agreed_on_is_visible() {
    let (url, server) = echo_server(compression(DeflateParams::default()), Limits::default()).await;
    let socket = client(&url, compression(TAKEOVER)).await;
    assert_eq!(socket.compression(), Some(DeflateParams::default()));
    server.abort();
}

#[tokio::test]
async fn t09_a_bomb_is_refused() {
    // More than what comes, less than what becomes of it.
    let limits = Limits { message_size_max: 1 << 20, ..Limits::default() };
    let (url, server) = echo_server(compression(DeflateParams::default()), limits).await;
    let mut socket = client(&url, compression(DeflateParams::default())).await;
    socket.send(vec![0; 10 << 20]).await.expect("small on the wire");
    assert_eq!(socket.recv().await.expect("a clean end"), None);
    assert_eq!(socket.close_frame().expect("closed").code, CloseCode::MESSAGE_TOO_BIG);
    server.abort();
}

/// The same message to a compressed and a plain client.
#[tokio::test]
async fn a_prepared_message_reaches_everybody() {
    let listener =
        Server::bind("127.0.0.1:0").await.expect("a free port").compression(Compression::default());
    let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
    let text = "Hello, everybody! ".repeat(100);
    let prepared = PreparedMessage::text(&text).compressible();
    let server = tokio::spawn(listener.serve(move |mut socket: Socket| {
        let prepared = prepared.clone();
        async move {
            socket.sender().try_send_prepared(&prepared)?;
            while socket.recv().await?.is_some() {}
            Ok(())
        }
    }));
    for offer in [None, compression(DeflateParams::default()), compression(TAKEOVER)] {
        let mut socket = client(&url, offer).await;
        assert_eq!(socket.recv().await.expect("open"), Some(Message::from(&*text)));
    }
    server.abort();
}

/// A socket whose handshake was made elsewhere has agreed on nothing.
#[tokio::test]
async fn a_compressed_frame_without_agreement_is_refused() {
    let (mut socket, mut client) = crate::raw::server();
    client.write(0xC1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).await;
    let error = crate::raw::poll_once(socket.recv());
    assert!(error.is_pending(), "it waits for the peer to end");
    client.expect_close(1002, &ProtocolError::ReservedBits.to_string()).await;
    drop(client);
    let error = socket.recv().await.expect_err("RSV1");
    assert!(matches!(error, Error::Protocol(ProtocolError::ReservedBits)), "{error:?}");
}

/// A handshake made elsewhere may have agreed on compression.
#[tokio::test]
async fn a_socket_of_ones_own_making() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (params, options) = (DeflateParams::default(), DeflateOptions::default());
    let mut server =
        Socket::new(Role::Server, near, Vec::new(), Limits::default()).compressed(params, options);
    assert_eq!(server.compression(), Some(params));
    let mut raw = crate::raw::Raw::new(far, Role::Client);
    server.send("again and ".repeat(1_000)).await.expect("open");
    let (first, payload) = raw.read().await.expect("open");
    assert_eq!(first, 0xC1);
    assert!(payload.len() < 200, "{}", payload.len());
    raw.write(0xC1, &payload).await;
    assert_eq!(server.recv().await.expect("open"), Some("again and ".repeat(1_000).into()));
}
