//! A server that listens on a file: all there is at the port, and what becomes of the file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::net::UnixStream;

use crate::http::Response;
use crate::patience::{soon, until};
use crate::raw::{CLOSE, Raw, TEXT};
use crate::secure::Authority;
use crate::server::{Folder, Server, run};

const OPEN: &str = "[auth]\nanonymous = true\n[namespace.chat]\nkind = \"log\"\nsubscribe = \"anyone\"\npublish = \"user\"\n\
                    [limits]\nconnections_per_address = 2\n[server]\necho = true\n";

fn socket_of(folder: &Folder) -> PathBuf {
    folder.path().join("trunkline.sock")
}

fn listen_at(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn dev(folder: &Folder) -> Server {
    Server::with(folder, &["--listen", &listen_at(&socket_of(folder))])
}

async fn connect(folder: &Folder) -> Raw<UnixStream> {
    Raw::over(soon("a connection", UnixStream::connect(socket_of(folder))).await.expect("the server listens"))
}

async fn get(folder: &Folder, target: &str) -> Response {
    let mut raw = connect(folder).await;
    raw.write(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    raw.response().await.expect("an answer")
}

/// What is said by one that does not start there.
async fn refused(folder: &Folder, listen: &str) -> String {
    let data = folder.path().join("other");
    let output = run(&["dev", "--listen", listen, "--data", data.to_str().expect("UTF-8")], "").await;
    assert!(!output.status.success());
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[tokio::test]
async fn the_api_and_websockets_are_there() {
    let folder = Folder::new();
    let server = dev(&folder);
    assert_eq!(server.ready(), listen_at(&socket_of(&folder)));
    assert_eq!(get(&folder, "/health/ready").await.status, 200);
    let mut subscriber = connect(&folder).await;
    subscriber.upgrade(&server, "/ws").await;
    subscriber.send(TEXT, br#"{"type":"subscribe","channel":"chat:a"}"#).await;
    assert!(subscriber.text().await.contains(r#""type":"subscribed""#));
    let mut publisher = connect(&folder).await;
    publisher.upgrade(&server, "/ws").await;
    for offset in 1..=100 {
        let publish = format!(r#"{{"type":"publish","id":{offset},"channel":"chat:a","data":{offset}}}"#);
        publisher.send(TEXT, publish.as_bytes()).await;
    }
    for offset in 1..=100 {
        assert!(publisher.text().await.contains(r#""type":"published""#));
        assert!(subscriber.text().await.contains(&format!(r#""offset":{offset},"#)));
    }
    let mut echo = connect(&folder).await;
    echo.upgrade(&server, "/echo").await;
    let text = "0123456789abcdef".repeat(10 << 16);
    echo.send(TEXT, text.as_bytes()).await;
    assert!(echo.text().await == text);
    echo.send(CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(echo.closed().await.map(|(code, _)| code), Some(1000));
    server.signal(Signal::TERM);
    assert_eq!(subscriber.closed().await.map(|(code, _)| code), Some(4503));
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn the_file_is_for_its_owner_and_group_and_goes_with_the_server() {
    let folder = Folder::new();
    let socket = socket_of(&folder);
    let server = dev(&folder);
    let mode = std::fs::symlink_metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o660);
    let said = refused(&folder, &listen_at(&socket)).await;
    assert!(said.contains("another program listens on unix:"), "{said}");
    assert_eq!(get(&folder, "/health/ready").await.status, 200, "it is there still");
    // One that is killed leaves its file, which the next one takes away.
    server.kill();
    assert!(socket.exists());
    let server = dev(&folder);
    assert_eq!(get(&folder, "/health/ready").await.status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.0.code(), Some(0));
    assert!(!socket.exists());
    // The file of another one is not its own.
    let server = dev(&folder);
    std::fs::remove_file(&socket).expect("it is ours");
    let _other = std::os::unix::net::UnixListener::bind(&socket).expect("a free place");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.0.code(), Some(0));
    assert!(socket.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_taken_away() {
    let folder = Folder::new();
    let file = folder.write("precious", "text");
    let said = refused(&folder, &listen_at(&file)).await;
    assert!(said.contains("is no socket"), "{said}");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).expect("the folder is writable");
    let said = refused(&folder, &listen_at(&link)).await;
    assert!(said.contains("is no socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "text");
    assert!(link.exists());
    let said = refused(&folder, "unix:").await;
    assert!(said.contains("the path of a file"), "{said}");
    let nowhere = folder.path().join("nowhere/trunkline.sock");
    let said = refused(&folder, &listen_at(&nowhere)).await;
    assert!(said.contains("cannot listen on unix:"), "{said}");
}

/// Who may open the file is a proxy of this machine: where its clients come from is what it says.
#[tokio::test]
async fn what_a_proxy_says_of_its_clients_counts() {
    let folder = Folder::with_config(OPEN);
    let server = Server::with(&folder, &["serve", "--listen", &listen_at(&socket_of(&folder))]);
    let open = async |from: &str| {
        let mut raw = connect(&folder).await;
        let from = format!("X-Forwarded-For: {from}");
        raw.write(crate::raw::handshake(&server, "/echo", &[&from]).as_bytes()).await;
        assert_eq!(raw.response().await.expect("an answer").status, 101);
        raw
    };
    let mut lines = [open("192.0.2.1").await, open("192.0.2.1").await, open("192.0.2.2").await];
    for line in &mut lines {
        // It is counted when it is answered, not before.
        line.send(TEXT, b"a").await;
        assert_eq!(line.text().await, "a");
    }
    assert_eq!(open("192.0.2.1").await.closed().await.map(|(code, _)| code), Some(4529));
    // The proxy itself has as many as it likes.
    for _ in 0..10 {
        let mut raw = connect(&folder).await;
        raw.upgrade(&server, "/echo").await;
        raw.send(TEXT, b"a").await;
        assert_eq!(raw.text().await, "a");
    }
}

#[tokio::test]
async fn tls_is_spoken_there_too_where_there_is_a_certificate() {
    let authority = Authority::new();
    let folder = authority.folder("");
    let server = dev(&folder);
    let mut raw = connect(&folder).await;
    raw.try_write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = soon("the end", tokio::io::AsyncReadExt::read_to_end(&mut raw.stream, &mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"));
    server.signal(Signal::INT);
    until("its end", || (!socket_of(&folder).exists()).then_some(())).await;
}
