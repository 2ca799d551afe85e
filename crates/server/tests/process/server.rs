//! The process under test: started on a folder and a free port, read until it is ready, ended by force or by
//! a signal. Also runs the other verbs of the binary to their end. Speaks no protocol.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::patience::{PATIENCE, soon, until};

/// Settings of whoever runs the tests must not reach the process.
const VARIABLES: [&str; 6] = [
    "TRUNKLINE_LISTEN",
    "TRUNKLINE_DATA",
    "TRUNKLINE_CONFIG",
    "TRUNKLINE_LOG",
    "TRUNKLINE_SERVER",
    "TRUNKLINE_TOKEN",
];

/// What outlives a server: its data, and its configuration if there is one.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A folder whose servers have this configuration.
    pub(crate) fn with_config(text: &str) -> Self {
        let folder = Self::new();
        folder.write("config.toml", text);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("the folder is writable");
        path
    }

    fn config(&self) -> Option<PathBuf> {
        Some(self.path().join("config.toml")).filter(|path| path.exists())
    }
}

/// A running server. Killed when it is dropped; a panic that it has printed fails the test.
pub(crate) struct Server {
    child: Child,
    /// What it has said is ready: a URL, or a file.
    ready: String,
    stderr: Option<JoinHandle<()>>,
    /// What it has said to stderr so far.
    said: Said,
    /// What it has said to stdout.
    out: Said,
}

/// What it has said up to now.
type Said = Arc<Mutex<Vec<u8>>>;

impl Server {
    /// Starts one on `folder` and waits until it is ready.
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::with(folder, &[])
    }

    /// The same, with so many workers.
    pub(crate) fn with_workers(folder: &Folder, workers: usize) -> Self {
        Self::with(folder, &["--workers", &workers.to_string()])
    }

    /// The same, with more arguments.
    pub(crate) fn with(folder: &Folder, arguments: &[&str]) -> Self {
        Self::by(program(), folder, arguments)
    }

    /// The same, for others than this machine.
    pub(crate) fn serve(folder: &Folder) -> Self {
        Self::with(folder, &["serve"])
    }

    /// The same, that logs all there is.
    pub(crate) fn verbose(folder: &Folder) -> Self {
        let mut command = Command::new("env");
        command.arg("TRUNKLINE_LOG=trace").arg(env!("CARGO_BIN_EXE_trunkline"));
        Self::by(command, folder, &[])
    }

    /// The same, in a process that may hold no more than so many files open.
    pub(crate) fn with_files(folder: &Folder, files: usize) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_trunkline"));
        Self::by(command, folder, &["--workers", "2"])
    }

    /// The same, with these variables in its environment.
    pub(crate) fn with_environment(folder: &Folder, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new("env");
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(env!("CARGO_BIN_EXE_trunkline"));
        Self::by(command, folder, arguments)
    }

    fn by(mut command: Command, folder: &Folder, arguments: &[&str]) -> Self {
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        let verb = if arguments.first() == Some(&"serve") { &arguments[..1] } else { &["dev"] };
        let arguments = arguments.strip_prefix(&["serve"]).unwrap_or(arguments);
        if !arguments.contains(&"--listen") {
            command.env("TRUNKLINE_LISTEN", "127.0.0.1:0");
        }
        command.args(verb).arg("--data").arg(folder.data()).args(arguments);
        if let Some(config) = folder.config() {
            command.arg("--config").arg(config);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = Said::default();
        let stderr = read_all(child.stderr.take().expect("it is piped"), &said);
        let (tell, ready) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let out = Said::default();
        let printed = Arc::clone(&out);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                printed.lock().expect("nobody panics").extend_from_slice(format!("{line}\n").as_bytes());
                if let Some(place) = line.strip_prefix("ready ") {
                    // A test that no longer waits has failed already.
                    let _ = tell.send(place.to_owned());
                }
            }
        });
        let Ok(ready) = ready.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            stderr.join().expect("the reader ends");
            panic!("the server did not become ready: {}", text_of(&said));
        };
        Self { child, ready, stderr: Some(stderr), said, out }
    }

    /// What it has said is ready.
    pub(crate) fn ready(&self) -> &str {
        &self.ready
    }

    /// The address that is for administrators.
    pub(crate) fn admin(&self) -> SocketAddr {
        let out = text_of(&self.out);
        let url = out.lines().find_map(|line| line.trim().strip_prefix("Metrics    http://"));
        let address = url.and_then(|url| url.strip_suffix("/metrics"));
        address.expect("it is announced").parse().expect("an address")
    }

    /// Waits until it has said this to stderr.
    pub(crate) async fn has_said(&self, words: &str) {
        until(words, || self.said_so_far().contains(words).then_some(())).await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let (_, address) = self.ready.split_once("://").expect("it has an address");
        address.parse().expect("an address")
    }

    /// What requests name as `Host`.
    pub(crate) fn host(&self) -> String {
        self.ready.split_once("://").map_or("localhost", |(_, address)| address).to_owned()
    }

    /// The WebSocket URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ready.replacen("http", "ws", 1))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        let ended = self.has_ended();
        assert!(ended.is_none(), "the server ended by itself: {ended:?}\n{}", self.said());
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid_of(&self.child), signal).expect("it runs");
    }

    /// How it ended, once it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits for its own end; gives how it ended and what it said to stderr.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = until("the end of the server", || self.has_ended()).await;
        (status, self.said())
    }

    /// All that it said to stderr. It must have ended, or waits for its end.
    fn said(&mut self) -> String {
        if let Some(stderr) = self.stderr.take() {
            stderr.join().expect("the reader ends");
        }
        text_of(&self.said)
    }

    /// What it has said to stderr until now; it may run.
    pub(crate) fn said_so_far(&self) -> String {
        text_of(&self.said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.said();
        if std::thread::panicking() {
            eprintln!("the server said:\n{said}");
        } else {
            assert!(!said.contains("panicked"), "the server panicked:\n{said}");
        }
    }
}

/// Runs the program to its end with this on its standard input.
pub(crate) async fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = spawn(arguments);
    // One that ends without reading its input closes the pipe; that is its right.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    finish(child).await
}

/// Runs the program to its end, where the system trusts the authorities of this file and no others.
pub(crate) async fn run_trusting(roots: &str, arguments: &[&str]) -> Output {
    let mut command = program();
    command.env("SSL_CERT_FILE", roots);
    finish(spawn_as(command, arguments)).await
}

/// Starts the program with all its streams piped.
pub(crate) fn spawn(arguments: &[&str]) -> Child {
    spawn_as(program(), arguments)
}

fn spawn_as(mut command: Command, arguments: &[&str]) -> Child {
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Waits for the end of what [`spawn`] started.
pub(crate) async fn finish(child: Child) -> Output {
    let pid = pid_of(&child);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let _killed_if_late = KillOnDrop(pid, output.abort_handle());
    soon("the end of the program", output).await.expect("no panic").expect("it can be waited for")
}

/// Ends a program that did not end in time, so that nobody waits for it any more.
struct KillOnDrop(Pid, tokio::task::AbortHandle);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if !self.1.is_finished() {
            // It may end at this very moment.
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn read_all(mut stream: impl std::io::Read + Send + 'static, said: &Said) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut some = [0; 4_096];
        // What came before an error is all there is.
        while let Ok(count @ 1..) = stream.read(&mut some) {
            said.lock().expect("nobody panics").extend_from_slice(&some[..count]);
        }
    })
}

fn text_of(said: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&said.lock().expect("nobody panics")).into_owned()
}
