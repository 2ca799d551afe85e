//! A server as a child process: started on a core of its own, asked for its CPU time and memory, ended.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::roster::Contestant;

/// What the kernel has booked on a server so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a core, user and system.
    pub cpu: Duration,
    /// Time in which it was ready to run and something else had its core.
    pub waited: Duration,
    /// Ticks of the clock that found it in its own code, and in the kernel.
    pub ticks: (u64, u64),
}

impl Usage {
    /// What has come since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            waited: self.waited.saturating_sub(earlier.waited),
            ticks: (self.ticks.0 - earlier.ticks.0, self.ticks.1 - earlier.ticks.1),
        }
    }

    /// The share of the ticks that found it in its own code.
    pub fn user_share(self) -> f64 {
        self.ticks.0 as f64 / (self.ticks.0 + self.ticks.1).max(1) as f64
    }
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    data: PathBuf,
}

impl Server {
    /// Starts it on `core`, if one is given, and waits until it is ready.
    pub fn start(contestant: &Contestant, core: Option<usize>) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let data = std::env::temp_dir().join(format!("trunkline-bench-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let mut command = Command::new(&contestant.program);
        let folder = data.to_string_lossy();
        command.args(contestant.arguments.iter().map(|word| word.replace("{data}", &folder)));
        command.current_dir(&data).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = on_core(core, || command.spawn())?
            .with_context(|| format!("cannot start {}", contestant.program.display()))?;
        let mut server = Self { child, address: SocketAddr::from(([0; 4], 0)), data };
        server.address =
            server.read_address().with_context(|| format!("{} did not start", contestant.name))?;
        Ok(server)
    }

    fn read_address(&mut self) -> Result<SocketAddr> {
        let mut lines = BufReader::new(self.child.stdout.take().context("it has no output")?).lines();
        for line in lines.by_ref() {
            if let Some(address) = line?.strip_prefix("ready ") {
                // What it says later is taken from it, so that it never waits for a reader.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(address.trim_start_matches("http://").trim_end_matches('/').parse()?);
            }
        }
        bail!("it ended before it was ready")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        Path::new(&format!("/proc/{}/task", self.id())).exists()
    }

    /// What all its threads have used.
    pub fn usage(&self) -> Result<Usage> {
        let folder = format!("/proc/{}/task", self.id());
        let mut usage = Usage { ticks: self.ticks()?, ..Usage::default() };
        for thread in std::fs::read_dir(&folder).context("it has ended")? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
            usage.cpu += Duration::from_nanos(numbers.next().unwrap_or(0));
            usage.waited += Duration::from_nanos(numbers.next().unwrap_or(0));
        }
        Ok(usage)
    }

    fn ticks(&self) -> Result<(u64, u64)> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).context("it has ended")?;
        let (_, fields) = text.rsplit_once(')').context("/proc has another form")?;
        let mut fields = fields.split_whitespace().skip(11).map_while(|word| word.parse().ok());
        fields.next().zip(fields.next()).context("/proc has another form")
    }

    /// Memory of its own that is there now, in bytes: `RssAnon`.
    pub fn user_memory(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id())).context("it has ended")?;
        let line =
            text.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("/proc has no RssAnon")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes << 10)
    }

    /// How many system calls it makes while `work` runs; `None` where there is no strace.
    pub fn count_calls(&self, work: impl FnOnce() -> Result<()>) -> Result<Option<u64>> {
        let report = self.data.join("calls.txt");
        let mut strace = Command::new("strace");
        strace.args(["-c", "-f", "-p", &self.id().to_string(), "-o"]).arg(&report).stderr(Stdio::piped());
        let Ok(mut strace) = strace.spawn() else { return Ok(None) };
        let said = strace.stderr.take().context("strace has no output")?;
        let attached = wait_for_attached(said);
        let worked = if attached.is_some() { work() } else { Ok(()) };
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&strace),
            rustix::process::Signal::INT,
        )?;
        strace.wait()?;
        worked?;
        Ok(attached.is_some().then(|| total_calls(&std::fs::read_to_string(&report).unwrap_or_default())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.data).ok();
    }
}

/// The stream has to stay open for as long as strace may write to it.
fn wait_for_attached(said: ChildStderr) -> Option<BufReader<ChildStderr>> {
    let mut said = BufReader::new(said);
    let mut line = String::new();
    while said.read_line(&mut line).is_ok_and(|size| size > 0) {
        if line.contains("attached") {
            return Some(said);
        }
        line.clear();
    }
    None
}

/// The sum of the column `calls`.
fn total_calls(report: &str) -> u64 {
    let rows = report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let counted = rows.filter(|row| row.len() >= 5 && row.last() != Some(&"total"));
    counted.filter_map(|row| row[3].parse::<u64>().ok()).sum()
}

/// Runs `work` on that core; children inherit it.
fn on_core<T>(core: Option<usize>, work: impl FnOnce() -> T) -> Result<T> {
    let Some(core) = core else { return Ok(work()) };
    let before = sched_getaffinity(None)?;
    pin(core)?;
    let done = work();
    sched_setaffinity(None, &before)?;
    Ok(done)
}

/// Keeps this thread on that core.
pub fn pin(core: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).with_context(|| format!("cannot run on core {core}"))
}

/// Raises the limit of open files as far as it goes, for this process and its children.
pub fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Where the programs of this workspace lie: beside this one.
pub fn programs() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where are we?")?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strace_reports_are_summed() {
        let report = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n \
                      60.00    0.000012           1        12           recvfrom\n \
                      40.00    0.000008           1         8         2 sendto\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.000020           1        20         2 total\n";
        assert_eq!(total_calls(report), 20);
        assert_eq!(total_calls(""), 0);
    }
}
