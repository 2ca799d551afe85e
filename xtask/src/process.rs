//! Runs child processes: output into a log, a sign of life on the terminal, nobody left behind.
//!
//! Each child leads a process group, so that what it started ends with it. Its two output streams share one pipe,
//! so that the log has them in the order in which they were written.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, PipeReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::log::Log;
use crate::reaper::Reaper;

/// How often a long silence is broken by a line that says what goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// How long a child that was asked to stop may take before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often a silent child is asked whether it has ended.
const GLANCE: Duration = Duration::from_millis(500);

/// Starts children and sees them end.
#[derive(Debug)]
pub struct Runner {
    reaper: RefCell<Reaper>,
    verbose: bool,
}

/// A child that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed, both streams.
    pub output: String,
}

impl Finished {
    /// Whether it ended with status 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

impl Runner {
    /// With `verbose` every line that a child prints is shown as it comes.
    pub fn new(verbose: bool) -> Result<Self> {
        Ok(Self { reaper: RefCell::new(Reaper::start()?), verbose })
    }

    /// Whether everything is shown as it comes.
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// Runs a program to its end.
    pub fn run(&self, command: Command, log: &Log) -> Result<Finished> {
        self.start(command, log)?.wait()
    }

    /// Starts a program and comes back at once.
    pub fn start<'a>(&'a self, mut command: Command, log: &'a Log) -> Result<Running<'a>> {
        let spelled = spelled(&command);
        log.line(&format!("$ {spelled}"));
        let (reader, writer) = std::io::pipe().context("no pipe")?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start `{spelled}`"))?;
        drop(command); // it holds the pipe's writing end, and the reader waits until nobody does
        self.reaper.borrow_mut().watch(child.id())?;
        let (sender, lines) = channel();
        std::thread::spawn(move || pass_lines(reader, &sender));
        Ok(Running {
            runner: self,
            log,
            child,
            lines,
            began: Instant::now(),
            output: String::new(),
            over: false,
        })
    }
}

/// The command line as one would type it.
pub fn spelled(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or_default()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn pass_lines(reader: PipeReader, sender: &Sender<String>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        if sender.send(text.trim_end_matches(['\n', '\r']).to_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

/// A child that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running<'a> {
    runner: &'a Runner,
    log: &'a Log,
    child: Child,
    lines: Receiver<String>,
    began: Instant,
    output: String,
    over: bool,
}

impl Running<'_> {
    /// Waits for the end.
    pub fn wait(mut self) -> Result<Finished> {
        let mut last_sign = Instant::now();
        loop {
            match self.next_line(GLANCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                // Ended, and silent since: a grandchild may hold the pipe open for as long as it likes.
                Err(RecvTimeoutError::Timeout) if self.child.try_wait()?.is_some() => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if last_sign.elapsed() >= SIGN_OF_LIFE {
                last_sign = Instant::now();
                self.give_sign();
            }
        }
        let status = self.child.wait()?;
        self.bury()?;
        Ok(Finished { status, output: std::mem::take(&mut self.output) })
    }

    /// Waits for a line that starts with `beginning` and gives the rest of it.
    pub fn wait_for_line(&mut self, beginning: &str, patience: Duration) -> Result<String> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            match self.next_line(GLANCE) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return Ok(rest.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.child.try_wait()?.is_none() => {}
                // Its end, or that of its output, which comes a moment earlier.
                Err(_) => bail!("it ended before it said `{beginning}…`"),
            }
        }
        bail!("it did not say `{beginning}…` within {} s", patience.as_secs())
    }

    /// Asks it to stop, and kills it when it takes too long.
    pub fn stop(mut self) -> Result<()> {
        self.end_now()
    }

    fn end_now(&mut self) -> Result<()> {
        self.bury()?;
        let end = Instant::now() + STOP_PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= end {
                self.child.kill()?;
                self.child.wait()?;
                break;
            }
            self.next_line(Duration::from_millis(20)).ok();
        }
        while self.next_line(Duration::ZERO).is_ok() {}
        Ok(())
    }

    /// What is left of its process group ends, and the reaper forgets it.
    fn bury(&mut self) -> Result<()> {
        self.over = true;
        self.runner.reaper.borrow_mut().end(self.child.id())
    }

    fn next_line(&mut self, patience: Duration) -> Result<String, RecvTimeoutError> {
        let line = self.lines.recv_timeout(patience)?;
        self.log.line(&line);
        if self.runner.verbose {
            println!("  {line}");
        }
        self.output.push_str(&line);
        self.output.push('\n');
        Ok(line)
    }

    fn give_sign(&self) {
        if !self.runner.verbose {
            let last = self.output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("");
            let last: String = last.trim().chars().take(80).collect();
            println!("  … {} s: {last}", self.began.elapsed().as_secs());
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.end_now().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn runner_and_log(name: &str) -> (Runner, Log) {
        let folder = Workspace::open().expect("we are in it").logs().join("self-test");
        (Runner::new(false).expect("a runner"), Log::create(&folder, name).expect("a log"))
    }

    #[test]
    fn both_streams_are_kept_in_order_and_logged() {
        let (runner, log) = runner_and_log("order");
        let finished =
            runner.run(shell("echo one; echo two >&2; echo three; exit 3"), &log).expect("it runs");
        assert_eq!(finished.output, "one\ntwo\nthree\n");
        assert_eq!(finished.status.code(), Some(3));
        assert!(log.text().ends_with("one\ntwo\nthree\n"));
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_is_ended_too() {
        let (runner, log) = runner_and_log("grandchild");
        let began = Instant::now();
        let finished = runner.run(shell("sleep 600 & echo $!"), &log).expect("it runs");
        assert!(finished.success());
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_line_can_be_waited_for() {
        let (runner, log) = runner_and_log("ready");
        let mut running =
            runner.start(shell("echo hello; echo ready here; sleep 600"), &log).expect("it starts");
        assert_eq!(running.wait_for_line("ready ", Duration::from_secs(60)).expect("the line"), "here");
        running.stop().expect("it stops");
    }

    #[test]
    fn a_line_that_never_comes_is_an_error() {
        let (runner, log) = runner_and_log("never");
        let mut running = runner.start(shell("echo hello"), &log).expect("it starts");
        let error = running.wait_for_line("ready ", Duration::from_secs(60)).expect_err("no such line");
        assert_eq!(error.to_string(), "it ended before it said `ready …`");
    }
}
