//! What an idle connection keeps: the growth of the server's own memory over many of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::handshake;
use crate::load::check;
use crate::machine::Machine;
use crate::options::Options;
use crate::roster::{self, Contestant};
use crate::samples::Samples;
use crate::server::{self, Server};
use crate::table;

/// The message that each connection has sent once when it counts as used.
const USED_BY: usize = 1 << 10;
/// Of the connections, those that are there before the first look, so that what a server makes once is not counted.
const FIRST: usize = 16;
/// How long memory has to stay as it is before it is believed, and how often to look before giving up on that.
const REST: Rest = Rest { pause: Duration::from_millis(300), looks: 20 };

#[derive(Clone, Copy)]
struct Rest {
    pause: Duration,
    looks: usize,
}

/// Bytes per connection.
#[derive(Debug, Default)]
struct Kept {
    fresh: Samples,
    used: Samples,
}

/// Measures, prints, and keeps what was found if that was asked for.
pub fn run(options: &Options) -> Result<()> {
    server::raise_file_limit()?;
    let machine = Machine::look();
    let contestants = roster::chosen(options, &server::programs()?);
    let mut kept: Vec<Kept> = contestants.iter().map(|_| Kept::default()).collect();
    for _ in 0..options.runs {
        for (contestant, kept) in contestants.iter().zip(&mut kept) {
            let (fresh, used) =
                measure(contestant, options.connections, REST).with_context(|| contestant.name.to_owned())?;
            eprintln!("  {}: {fresh:.0} B, used once {used:.0} B", contestant.name);
            kept.fresh.0.push(fresh);
            kept.used.0.push(used);
        }
    }
    println!("{}\n", machine.line());
    print!("{}", report(&contestants, &kept, options.connections));
    if options.save {
        let path = machine.save("idle", &contestants, &to_json(&contestants, &kept, options.connections))?;
        println!("\nkept in {}", path.display());
    }
    Ok(())
}

/// Bytes per connection after the handshake, and after each has sent a message.
fn measure(contestant: &Contestant, connections: usize, rest: Rest) -> Result<(f64, f64)> {
    let server = Server::start(contestant, None)?;
    let connect = |_| handshake::connect(server.address, contestant.path, contestant.deflate);
    let mut streams = (0..connections.min(FIRST)).map(connect).collect::<Result<Vec<TcpStream>>>()?;
    let before = at_rest(&server, rest)?;
    let counted = connections - streams.len();
    for at in 0..counted {
        streams.push(connect(at).with_context(|| format!("connection {at} of {counted}"))?);
    }
    let fresh = at_rest(&server, rest)?;
    let exchange = Exchange::new(USED_BY, 1, contestant.answer);
    let echo = if contestant.deflate { check_compressed } else { check };
    streams.iter().try_for_each(|stream| echo(stream, &exchange))?;
    let used = at_rest(&server, rest)?;
    ensure!(server.is_running(), "it did not live to the end");
    let each = |now: u64| (now as f64 - before as f64) / counted.max(1) as f64;
    Ok((each(fresh), each(used)))
}

/// What a compressed answer looks like is not ours to foretell, only how it begins: FIN, RSV1, a binary frame.
fn check_compressed(mut stream: &TcpStream, exchange: &Exchange) -> Result<()> {
    stream.write_all(exchange.message())?;
    let mut answer = [0; 2 * USED_BY];
    let size = stream.read(&mut answer).context("no answer to the first message")?;
    ensure!(answer[..size].first() == Some(&0xc2), "the answer to the first message is not compressed");
    Ok(())
}

fn at_rest(server: &Server, rest: Rest) -> Result<u64> {
    let mut last = server.user_memory()?;
    for _ in 0..rest.looks {
        std::thread::sleep(rest.pause);
        let now = server.user_memory()?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// A few connections to one server, and one look: whether it still works, for tests.
pub fn smoke(contestant: &Contestant) -> Result<()> {
    measure(contestant, 2 * FIRST, Rest { pause: Duration::ZERO, looks: 1 }).map(drop)
}

fn report(contestants: &[Contestant], kept: &[Kept], connections: usize) -> String {
    let head = [
        format!("user memory per connection, {connections} of them, bytes"),
        "idle from the start".to_owned(),
        "spread".to_owned(),
        "after one message of 1 KiB".to_owned(),
        "spread".to_owned(),
    ];
    let rows = contestants.iter().zip(kept).map(|(contestant, kept)| {
        let median = |samples: &Samples| format!("{:.0}", samples.median());
        let spread = |samples: &Samples| format!("{:.0}–{:.0}", samples.min(), samples.max());
        let (fresh, used) = (&kept.fresh, &kept.used);
        vec![contestant.name.to_owned(), median(fresh), spread(fresh), median(used), spread(used)]
    });
    table::render(&head, &rows.collect::<Vec<_>>())
}

fn to_json(contestants: &[Contestant], kept: &[Kept], connections: usize) -> Value {
    let servers: serde_json::Map<String, Value> = contestants
        .iter()
        .zip(kept)
        .map(|(contestant, kept)| {
            let both = json!({ "fresh": kept.fresh.to_json(), "used_once": kept.used.to_json() });
            (contestant.name.to_owned(), both)
        })
        .collect();
    json!({ "connections": connections, "bytes_per_connection": servers })
}
