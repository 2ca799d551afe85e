//! The load: connections that send a batch of messages in one write, wait for all the answers, and begin again. One
//! thread, one epoll.
//!
//! Answers are counted by their bytes and not decoded, so that it costs the same whatever answers; the first message
//! of every connection is compared byte by byte, and a byte too much is an error. A round trip is the time from the
//! write of a batch to the read that brought the end of a message's answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;

use crate::exchange::Exchange;
use crate::handshake::{self, PATIENCE};
use crate::histogram::Histogram;

const READ_SIZE: usize = 256 << 10;
const EVENTS: usize = 256;

/// The connections to one server.
pub struct Load {
    epoll: OwnedFd,
    exchange: Exchange,
    lines: Vec<Line>,
    /// Lines with a batch on its way.
    busy: usize,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
}

#[derive(Debug)]
struct Line {
    stream: TcpStream,
    began: Instant,
    /// Of the batch, what is still to be written.
    unwritten: usize,
    /// Of its answers, what is still to be read.
    unread: usize,
    /// Batches to send after this one.
    left: u64,
    trips: Histogram,
}

impl Load {
    /// Connects, and sends one message through each connection to see that it comes back as it should.
    pub fn connect(
        address: SocketAddr,
        path: &str,
        deflate: bool,
        connections: usize,
        exchange: Exchange,
    ) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut lines = Vec::with_capacity(connections);
        for at in 0..connections {
            let stream = handshake::connect(address, path, deflate)
                .with_context(|| format!("connection {at} of {connections}"))?;
            check(&stream, &exchange)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(at as u64), EventFlags::IN)?;
            let began = Instant::now();
            lines.push(Line { stream, began, unwritten: 0, unread: 0, left: 0, trips: Histogram::default() });
        }
        Ok(Self {
            epoll,
            exchange,
            lines,
            busy: 0,
            buffer: vec![0; READ_SIZE],
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// Lets every connection begin, and send `batches` in all.
    pub fn begin(&mut self, batches: u64) -> Result<()> {
        for at in 0..self.lines.len() {
            self.lines[at].left = batches;
            self.next_batch(at)?;
        }
        Ok(())
    }

    /// Keeps all connections busy until they have sent their batches.
    pub fn pump(&mut self) -> Result<()> {
        while self.busy > 0 {
            ensure!(self.wait(PATIENCE)?, "no answer for {} s", PATIENCE.as_secs());
            self.handle_events()?;
        }
        Ok(())
    }

    /// Keeps all connections busy until the time has come, without ever sleeping: a server would have to wake us for
    /// each answer, and with clients on other machines it would not. Gives the time in which there was nothing to do.
    pub fn spin(&mut self, until: Instant) -> Result<Duration> {
        let (mut idle, mut since) = (Duration::ZERO, None);
        loop {
            let found = self.wait(Duration::ZERO)?;
            let now = Instant::now();
            match (found, since) {
                (false, None) => since = Some(now),
                (false, Some(began)) => {
                    ensure!(now - began < PATIENCE, "no answer for {} s", PATIENCE.as_secs());
                }
                (true, Some(began)) => (idle, since) = (idle + (now - began), None),
                (true, None) => {}
            }
            if now >= until {
                return Ok(idle);
            }
            self.handle_events()?;
        }
    }

    /// Whether anything is ready, or becomes so within `patience`.
    fn wait(&mut self, patience: Duration) -> Result<bool> {
        let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&patience)) {
            Err(rustix::io::Errno::INTR) => {}
            waited => drop(waited?),
        };
        Ok(!self.events.is_empty())
    }

    fn handle_events(&mut self) -> Result<()> {
        for at in 0..self.events.len() {
            let (line, flags) = (self.events[at].data.u64() as usize, self.events[at].flags);
            if flags.contains(EventFlags::OUT) {
                self.write(line)?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.read(line)?;
            }
        }
        Ok(())
    }

    /// The round trips of each connection since the last call.
    pub fn take_trips(&mut self) -> Vec<Histogram> {
        self.lines.iter_mut().map(|line| std::mem::take(&mut line.trips)).collect()
    }

    fn next_batch(&mut self, at: usize) -> Result<()> {
        let line = &mut self.lines[at];
        if line.left == 0 {
            return Ok(());
        }
        line.left -= 1;
        line.began = Instant::now();
        line.unwritten = self.exchange.batch.len();
        line.unread = self.exchange.answers_size();
        self.busy += 1;
        self.write(at)
    }

    fn write(&mut self, at: usize) -> Result<()> {
        let line = &mut self.lines[at];
        let waited = line.unwritten < self.exchange.batch.len();
        while line.unwritten > 0 {
            let from = self.exchange.batch.len() - line.unwritten;
            match line.stream.write(&self.exchange.batch[from..]) {
                Ok(size) => line.unwritten -= size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("a connection broke"),
            }
        }
        let (blocked, data) = (line.unwritten > 0, EventData::new_u64(at as u64));
        if blocked {
            epoll::modify(&self.epoll, &line.stream, data, EventFlags::IN | EventFlags::OUT)?;
        } else if waited {
            epoll::modify(&self.epoll, &line.stream, data, EventFlags::IN)?;
        }
        Ok(())
    }

    fn read(&mut self, at: usize) -> Result<()> {
        let line = &mut self.lines[at];
        let size = match line.stream.read(&mut self.buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(size) => size,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("a connection broke"),
        };
        ensure!(size <= line.unread, "the server said more than it was asked for");
        let one = self.exchange.answer.len();
        let before = line.unread.div_ceil(one);
        line.unread -= size;
        let answered = before - line.unread.div_ceil(one);
        if answered > 0 {
            line.trips.add(line.began.elapsed(), answered as u32);
        }
        if line.unread == 0 {
            self.busy -= 1;
            self.next_batch(at)?;
        }
        Ok(())
    }
}

/// One message there and back, byte by byte.
pub fn check(mut stream: &TcpStream, exchange: &Exchange) -> Result<()> {
    stream.write_all(exchange.message())?;
    let mut answer = vec![0; exchange.answer.len()];
    stream.read_exact(&mut answer).context("the answer to the first message did not come")?;
    ensure!(answer == exchange.answer, "the answer to the first message is not that message");
    Ok(())
}

/// What a timed run brought.
#[derive(Debug)]
pub struct Timed<S> {
    /// What `snapshot` said when it began and when it ended.
    pub snapshots: (S, S),
    /// How long it took.
    pub took: Duration,
    /// How long of that the load had nothing to do.
    pub idle: Duration,
    /// The round trips of each connection.
    pub trips: Vec<Histogram>,
}

impl Load {
    /// Keeps all connections busy for a while, and then, without a pause, for the span that counts.
    pub fn run<S>(
        &mut self,
        warm_up: Duration,
        span: Duration,
        snapshot: impl Fn() -> Result<S>,
    ) -> Result<Timed<S>> {
        self.begin(u64::MAX)?;
        self.spin(Instant::now() + warm_up)?;
        self.take_trips();
        let (first, began) = (snapshot()?, Instant::now());
        let idle = self.spin(began + span)?;
        let (took, last) = (began.elapsed(), snapshot()?);
        Ok(Timed { snapshots: (first, last), took, idle, trips: self.take_trips() })
    }
}
