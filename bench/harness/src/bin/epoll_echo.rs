//! The floor: one thread, one epoll, bytes back as they came. It reads the head of a handshake once and parses nothing
//! after it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use trunkline_bench::handshake;

const LISTENER: u64 = u64::MAX;
/// Of 16, 32, 64, 128 and 256 KiB the one with the least CPU per message in all kinds of traffic.
const READ_SIZE: usize = 128 << 10;
const EVENTS: usize = 256;

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    lines: Vec<Option<Line>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

struct Line {
    stream: TcpStream,
    /// The head that is still to come, while it does.
    head: Option<Vec<u8>>,
    /// What the socket did not take; nothing is read before it has.
    unwritten: Vec<u8>,
}

fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    println!("ready {}", listener.local_addr()?);
    Floor { epoll, listener, lines: Vec::new(), free: Vec::new(), buffer: vec![0; READ_SIZE] }.run()
}

impl Floor {
    fn run(mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Err(rustix::io::Errno::INTR) => continue,
                waited => waited?,
            };
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    at => self.serve(at as usize),
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        let Ok((stream, _)) = self.listener.accept() else { return Ok(()) };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let at = self.free.pop().unwrap_or_else(|| {
            self.lines.push(None);
            self.lines.len() - 1
        });
        epoll::add(&self.epoll, &stream, EventData::new_u64(at as u64), EventFlags::IN)?;
        self.lines[at] = Some(Line { stream, head: Some(Vec::new()), unwritten: Vec::new() });
        Ok(())
    }

    /// Closing a socket takes it out of the epoll as well.
    fn serve(&mut self, at: usize) {
        let Some(line) = &mut self.lines[at] else { return };
        let data = EventData::new_u64(at as u64);
        if line
            .turn(&mut self.buffer, |flags, stream| Ok(epoll::modify(&self.epoll, stream, data, flags)?))
            .is_err()
        {
            self.lines[at] = None;
            self.free.push(at);
        }
    }
}

impl Line {
    fn turn(
        &mut self,
        buffer: &mut [u8],
        wait_for: impl Fn(EventFlags, &TcpStream) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        if !self.unwritten.is_empty() {
            let size = written(self.stream.write(&self.unwritten))?;
            self.unwritten.drain(..size);
            if !self.unwritten.is_empty() {
                return Ok(());
            }
            return wait_for(EventFlags::IN, &self.stream);
        }
        let size = match self.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(size) => size,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if let Some(head) = &mut self.head {
            head.extend_from_slice(&buffer[..size]);
            if head.ends_with(b"\r\n\r\n") {
                self.head = None;
                self.stream.write_all(handshake::ANSWER.as_bytes())?;
            }
            return Ok(());
        }
        let taken = written(self.stream.write(&buffer[..size]))?;
        if taken < size {
            self.unwritten = buffer[taken..size].to_vec();
            return wait_for(EventFlags::OUT, &self.stream);
        }
        Ok(())
    }
}

fn written(result: std::io::Result<usize>) -> std::io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
