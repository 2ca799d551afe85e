//! Ends what we started, however we end ourselves: after a Ctrl-C, a SIGTERM, a panic or a SIGKILL.
//!
//! A process cannot clean up after its own SIGKILL, and catching signals takes `unsafe` or a library. So a small
//! shell process listens on a pipe that only we hold open: we tell it which process groups live; when the pipe
//! closes, whatever the cause, it ends those that are left. It is called by [`Runner`](crate::process::Runner) alone.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

/// `+ PID` remembers a process group, `- PID` ends and forgets it; at the end of input all that are left are
/// asked to stop, and killed five seconds later.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
live=
while read -r word pid; do
  case $word in
    +) live="$live $pid" ;;
    -) kill -s TERM -- "-$pid" 2>/dev/null
       kept=
       for p in $live; do [ "$p" = "$pid" ] || kept="$kept $p"; done
       live=$kept ;;
  esac
done
for p in $live; do kill -s TERM -- "-$p" 2>/dev/null; done
for second in 1 2 3 4 5; do
  left=
  for p in $live; do kill -s 0 -- "-$p" 2>/dev/null && left="$left $p"; done
  [ -z "$left" ] && exit 0
  sleep 1
done
for p in $left; do kill -s KILL -- "-$p" 2>/dev/null; done
"#;

/// The shell that outlives us by a moment.
#[derive(Debug)]
pub struct Reaper {
    shell: Child,
    orders: Option<ChildStdin>,
}

impl Reaper {
    /// Starts the shell, in a process group of its own so that a Ctrl-C does not reach it.
    pub fn start() -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("no `sh` to watch over child processes")?;
        let orders = shell.stdin.take();
        Ok(Self { shell, orders })
    }

    /// The process group `leader` is to end with us.
    pub fn watch(&mut self, leader: u32) -> Result<()> {
        self.order('+', leader)
    }

    /// Ends what is left of the process group and forgets it.
    pub fn end(&mut self, leader: u32) -> Result<()> {
        self.order('-', leader)
    }

    fn order(&mut self, word: char, leader: u32) -> Result<()> {
        let orders = self.orders.as_mut().context("the watching shell is gone")?;
        writeln!(orders, "{word} {leader}").context("the watching shell does not listen")
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.shell.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").process_group(0).spawn().expect("`sleep` is on every unix")
    }

    #[test]
    fn ends_a_group_when_told() {
        let mut reaper = Reaper::start().expect("a shell");
        let mut child = sleeper();
        reaper.watch(child.id()).expect("told");
        reaper.end(child.id()).expect("told");
        assert!(!child.wait().expect("its end").success());
    }

    #[test]
    fn ends_what_is_left_when_the_pipe_closes() {
        let mut reaper = Reaper::start().expect("a shell");
        let mut child = sleeper();
        reaper.watch(child.id()).expect("told");
        // The dead child stays a zombie until we wait for it, and a zombie group still answers `kill -s 0`:
        // waiting first, as init would, is what lets the shell see that it is done.
        drop(reaper.orders.take());
        assert!(!child.wait().expect("its end").success());
    }
}
