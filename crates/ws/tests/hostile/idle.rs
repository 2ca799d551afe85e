//! Many connections that do nothing: what each keeps, counted for both ends at once.

use allocation_counter::measure;
use trunkline_ws::{Connect, Error, Server, Socket};

const SOCKETS: u64 = 100;

async fn echo(mut socket: Socket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// Bytes that a connection keeps once it has echoed `message`, on both ends.
fn kept(configure: impl FnOnce(Server) -> Server, connect: impl Fn(String) -> Connect, message: &str) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let open = async |url: String| {
        let mut socket = connect(url).await.expect("accepted");
        socket.send(message).await.expect("open");
        assert_eq!(socket.recv().await.expect("open"), Some(message.into()));
        socket
    };
    let url = runtime.block_on(async {
        let server = configure(Server::bind("127.0.0.1:0").await.expect("a free port"));
        let addr = server.local_addr().expect("it is bound");
        tokio::spawn(server.serve(echo));
        addr.to_string()
    });
    // The first ones fill what all share.
    let _warm: Vec<Socket> =
        runtime.block_on(async { vec![open(url.clone()).await, open(url.clone()).await] });
    let mut sockets = Vec::with_capacity(SOCKETS as usize);
    let info = measure(|| {
        runtime.block_on(async {
            for _ in 0..SOCKETS {
                sockets.push(open(url.clone()).await);
            }
        });
    });
    drop(sockets);
    info.bytes_current.max(0).unsigned_abs() / SOCKETS
}

/// What the handshake needed is given back, and so is what a message went through.
#[test]
fn an_idle_connection_keeps_little() {
    for message in ["short".to_owned(), "x".repeat(60_000)] {
        let url = |addr| trunkline_ws::connect(format!("ws://{addr}/"));
        let bytes = kept(|server| server, url, &message);
        assert!(bytes < 3 << 10, "{bytes} bytes");
    }
}

/// On top of that rustls keeps its own buffers, twice.
#[cfg(feature = "tls")]
#[test]
fn an_idle_connection_over_tls() {
    let authority = crate::certificates::Authority::new();
    let certified = authority.server(&["127.0.0.1"]);
    let tls = trunkline_ws::TlsConfig::from_pem(certified.chain.as_bytes(), certified.key.as_bytes());
    let tls = tls.expect("they fit");
    let config = authority.client_config();
    for message in ["short".to_owned(), "x".repeat(60_000)] {
        let url = |addr| trunkline_ws::connect(format!("wss://{addr}/")).tls(config.clone());
        let bytes = kept(|server| server.tls(tls.clone()), url, &message);
        assert!(bytes < 18 << 10, "{bytes} bytes");
    }
}
