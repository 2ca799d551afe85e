//! Servers that cannot be started: the exit code says whose fault it is, the message what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use crate::client::{Client, check_alive};
use crate::server::{Folder, Server, run};

fn check(output: &Output, code: i32, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for part in parts {
        assert!(said.contains(part), "{said:?} should contain {part:?}");
    }
    assert!(!said.contains("panicked"), "{said}");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(!out.contains("ready "), "it must not say that it is ready: {out}");
}

async fn dev(data: &Path, more: &[&str]) -> Output {
    let data = data.to_str().expect("UTF-8");
    run(&[&["dev", "--listen", "127.0.0.1:0", "--data", data], more].concat(), "").await
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one").to_string();
    let data = folder.data();
    let output = run(&["dev", "--listen", &address, "--data", data.to_str().expect("UTF-8")], "").await;
    check(&output, 1, &[&address, "another program listens", "--listen"]);
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let folder = Folder::new();
    let data = folder.data();
    for listen in ["0.0.0.0:0", "192.0.2.1:8000", "[::]:0"] {
        let output = run(&["dev", "--listen", listen, "--data", data.to_str().expect("UTF-8")], "").await;
        check(&output, 2, &["loopback", "--listen 127.0.0.1:"]);
        assert!(!data.exists(), "nothing was made yet");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_had_is_named() {
    let folder = Folder::new();
    let file = folder.write("file", "not a folder");
    check(&dev(&file, &[]).await, 1, &[file.to_str().expect("UTF-8"), "not a directory"]);
    let under = file.join("data");
    check(&dev(&under, &[]).await, 1, &[under.to_str().expect("UTF-8")]);
    check(&dev(Path::new("/proc/trunkline-data"), &[]).await, 1, &["/proc/trunkline-data"]);
    assert_eq!(fs::read_to_string(&file).expect("it is still there"), "not a folder");
}

#[tokio::test]
async fn a_folder_is_for_one_process_at_a_time() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let output = dev(&folder.data(), &[]).await;
    check(&output, 1, &["in use by process", &server.pid().to_string()]);
    check_alive(&server).await;
    server.kill();
    let server = Server::start(&folder);
    check_alive(&server).await;
}

#[tokio::test]
async fn a_database_that_is_damaged_or_foreign_is_left_alone() {
    let check_database = async |content: &[u8], part: &str| {
        let folder = Folder::new();
        fs::create_dir(folder.data()).expect("the folder is writable");
        let database = folder.write("data/trunkline.db", content);
        check(&dev(&folder.data(), &[]).await, 1, &[database.to_str().expect("UTF-8"), part]);
        assert!(fs::read(&database).expect("it is still there") == content, "it was changed");
    };
    check_database(&[b'x'; 20_000], "not a SQLite database").await;
    let whole = {
        let folder = Folder::new();
        let server = Server::start(&folder);
        check_alive(&server).await;
        server.signal(rustix::process::Signal::TERM);
        assert!(server.ended().await.0.success());
        fs::read(folder.data().join("trunkline.db")).expect("the database")
    };
    let mut destroyed = whole.clone();
    destroyed[..100].fill(0);
    check_database(&destroyed, "not a SQLite database").await;
    let mut damaged = whole;
    let page = 8192;
    assert!(damaged.len() > 3 * page, "it has pages: {}", damaged.len());
    damaged[page..].fill(0xA5);
    check_database(&damaged, "is damaged").await;
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_named() {
    let folder = Folder::new();
    let missing = folder.path().join("nowhere.toml");
    let data = folder.data();
    let output = dev(&data, &["--config", missing.to_str().expect("UTF-8")]).await;
    check(&output, 2, &[missing.to_str().expect("UTF-8"), "cannot read"]);
    for (text, part) in [
        ("[namespace.news]\nkind = \"log\"\nkept = 7\n", "did you mean `keep`?"),
        ("[namespaces.news]\nkind = \"log\"\n", "did you mean `namespace`?"),
        ("[namespace.news]\nkind = \"lag\"\n", "`lag`"),
        ("[namespace.news]\n", "missing field `kind`"),
        ("[namespace.news]\nkind = \"log\"\nkeys = \"soon\"\n", "[namespace.news]: keys"),
        ("[namespace.news]\nkind = \"log\"\nlimits = { message = \"1GiB\" }\n", "limits.message"),
        ("[namespace.news]\nkind = \"log\"\nrecover = { entries = 0 }\n", "recover.entries is 0"),
        ("[namespace.news]\nkind = \"log\"\nrecover = { bytes = \"1TB\" }\n", "recover.bytes"),
        ("[namespace.\"a:b\"]\nkind = \"log\"\n", "no `:`"),
        ("kind = \n", "line 1"),
        ("\u{0}", ""),
    ] {
        let config = folder.write("bad.toml", text);
        let config = config.to_str().expect("UTF-8");
        check(&dev(&data, &["--config", config]).await, 2, &[config, part]);
        assert!(!data.exists(), "nothing was made yet");
    }
    let config = folder.write("latin.toml", b"# caf\xe9\n");
    check(&dev(&data, &["--config", config.to_str().expect("UTF-8")]).await, 2, &["latin.toml"]);
}

#[tokio::test]
async fn wrong_usage_is_2() {
    for (arguments, part) in [
        (&["dev", "--port", "8000"][..], "--port"),
        (&["dev", "--listen", "nowhere"], "--listen"),
        (&["dev", "--listen", "127.0.0.1"], "--listen"),
        (&["dev", "--workers", "0"], "--workers"),
        (&["dev", "--workers", "300"], "--workers"),
        (&["dev", "extra"], "extra"),
        (&["serve"], "serve"),
        (&[], "Usage"),
        (&["pub", "chat:a"], "<DATA>"),
        (&["sub"], "<CHANNELS>"),
        (&["sub", "--last", "many", "chat:a"], "--last"),
    ] {
        check(&run(arguments, "").await, 2, &[part]);
    }
    for arguments in [&["--help"][..], &["--version"], &["dev", "--help"]] {
        assert_eq!(run(arguments, "").await.status.code(), Some(0), "{arguments:?}");
    }
}

/// A server that could take no connection says so instead of `ready`.
#[tokio::test]
async fn too_few_files_are_named() {
    let folder = Folder::new();
    let data = folder.data();
    let command = format!(
        "ulimit -n 64; exec {} dev --listen 127.0.0.1:0 --data {}",
        env!("CARGO_BIN_EXE_trunkline"),
        data.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("64 files open") && said.contains("ulimit -n"), "{said}");
}

/// A log that cannot be written ends nothing.
#[tokio::test]
async fn a_full_disk_under_the_log_ends_nothing() {
    let folder = Folder::new();
    let command = format!(
        "TRUNKLINE_LOG=trace exec {} dev --listen 127.0.0.1:0 --data {} 2>/dev/full",
        env!("CARGO_BIN_EXE_trunkline"),
        folder.data().display()
    );
    let mut child = std::process::Command::new("sh")
        .args(["-c", &command])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    let out = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let ready = std::io::BufRead::lines(out)
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ready http://").map(str::to_owned))
        .expect("it becomes ready");
    for _ in 0..3 {
        let mut client = Client::try_open(&format!("ws://{ready}/ws")).await.expect("the server goes on");
        let answer = client.publish("chat:a", &serde_json::json!("x")).await;
        assert_eq!(answer["type"], "published");
        client.close().await;
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("it runs");
    assert!(child.wait().expect("it ends").success());
}
