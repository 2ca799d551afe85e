//! What an idle connection keeps: the growth of the server's own memory over many of them.

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
/// Connections that are there before the first look, so that what a server makes once is not counted.
const FIRST: usize = 16;
/// How long memory has to stay as it is before it is believed, and how often to look before giving up on that.
const REST: (Duration, usize) = (Duration::from_millis(300), 20);

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
                measure(contestant, options.connections).with_context(|| contestant.name.to_owned())?;
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
fn measure(contestant: &Contestant, connections: usize) -> Result<(f64, f64)> {
    let server = Server::start(contestant, None)?;
    let connect = |_| handshake::connect(server.address, contestant.path, contestant.deflate);
    let _first = (0..FIRST).map(connect).collect::<Result<Vec<_>>>()?;
    let before = at_rest(&server)?;
    let streams: Vec<TcpStream> = (0..connections).map(connect).collect::<Result<_>>()?;
    let fresh = at_rest(&server)?;
    // What a compressed answer looks like is not ours to foretell; those connections stay fresh.
    if !contestant.deflate {
        let exchange = Exchange::new(USED_BY, 1, contestant.answer);
        streams.iter().try_for_each(|stream| check(stream, &exchange))?;
    }
    let used = at_rest(&server)?;
    ensure!(server.is_running(), "it did not live to the end");
    let each = |now: u64| (now as f64 - before as f64) / connections as f64;
    Ok((each(fresh), if contestant.deflate { f64::NAN } else { each(used) }))
}

fn at_rest(server: &Server) -> Result<u64> {
    let (pause, looks) = REST;
    let mut last = server.user_memory()?;
    for _ in 0..looks {
        std::thread::sleep(pause);
        let now = server.user_memory()?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
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
        let median = |samples: &Samples| {
            if samples.median().is_nan() { "–".to_owned() } else { format!("{:.0}", samples.median()) }
        };
        let spread = |samples: &Samples| {
            if samples.median().is_nan() {
                "–".to_owned()
            } else {
                format!("{:.0}–{:.0}", samples.min(), samples.max())
            }
        };
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
