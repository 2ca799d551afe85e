//! What an echo costs: the server's CPU time per message, as a ratio to the floor's right before and after.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::histogram::Histogram;
use crate::load::Load;
use crate::machine::Machine;
use crate::options::Options;
use crate::roster::{self, Contestant};
use crate::samples::Samples;
use crate::server::{self, Server, Usage};
use crate::table;

const CONNECTIONS: usize = 64;
/// Connections that a smoke test opens, and batches that it sends through each.
const SMOKE: (usize, u64) = (3, 20);
/// Messages that are sent through each connection while system calls are counted.
const COUNTED_MESSAGES: u64 = 320;

/// A kind of traffic.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Bytes in a message.
    pub size: usize,
    /// Messages that a client sends before it waits for their answers.
    pub in_flight: usize,
    /// What ours may cost at most, as a ratio to the floor.
    pub target: f64,
}

/// All kinds.
pub const TRAFFIC: [Traffic; 6] = [
    Traffic { size: 20, in_flight: 1, target: 1.05 },
    Traffic { size: 20, in_flight: 16, target: 1.15 },
    Traffic { size: 1 << 10, in_flight: 1, target: 1.05 },
    Traffic { size: 1 << 10, in_flight: 16, target: 1.15 },
    Traffic { size: 16 << 10, in_flight: 1, target: 1.25 },
    Traffic { size: 16 << 10, in_flight: 16, target: 1.25 },
];

impl Traffic {
    /// As `--traffic` calls it.
    fn key(self) -> String {
        format!("{}x{}", self.size, self.in_flight)
    }

    fn name(self) -> String {
        let size =
            if self.size < 1024 { format!("{} B", self.size) } else { format!("{} KiB", self.size >> 10) };
        format!("{size} × {}", self.in_flight)
    }

    fn load(self, server: &Server, contestant: &Contestant, connections: usize) -> Result<Load> {
        let exchange = Exchange::new(self.size, self.in_flight, contestant.answer);
        Load::connect(server.address, contestant.path, contestant.deflate, connections, exchange)
    }
}

/// What one measurement found.
#[derive(Clone, Debug)]
struct Figure {
    /// The server's CPU time per message, in nanoseconds.
    cpu: f64,
    /// `cpu` over the floor's right before and after.
    ratio: f64,
    /// The share of it that was spent in the server's own code.
    user: f64,
    /// Messages per second.
    rate: f64,
    /// Round trips in microseconds: the median, and what 99 of 100 stay below.
    trips: (f64, f64),
    /// The same of the connection that was served worst.
    worst: (f64, f64),
    /// How busy the server and the load were, as shares of a core.
    busy: (f64, f64),
    /// The share of the time in which something else had the server's core.
    disturbed: f64,
}

/// All measurements of one server under one kind of traffic.
#[derive(Debug, Default)]
struct Cell {
    figures: Vec<Figure>,
    calls: Option<f64>,
}

impl Cell {
    fn samples(&self, pick: impl Fn(&Figure) -> f64) -> Samples {
        self.figures.iter().map(pick).collect()
    }

    fn to_json(&self) -> Value {
        json!({
            "cpu_ns_per_message": self.samples(|figure| figure.cpu).to_json(),
            "ratio_to_floor": self.samples(|figure| figure.ratio).to_json(),
            "user_share": self.samples(|figure| figure.user).to_json(),
            "messages_per_second": self.samples(|figure| figure.rate).to_json(),
            "trip_p50_us": self.samples(|figure| figure.trips.0).to_json(),
            "trip_p99_us": self.samples(|figure| figure.trips.1).to_json(),
            "worst_connection_p50_us": self.samples(|figure| figure.worst.0).to_json(),
            "worst_connection_p99_us": self.samples(|figure| figure.worst.1).to_json(),
            "server_busy": self.samples(|figure| figure.busy.0).to_json(),
            "load_busy": self.samples(|figure| figure.busy.1).to_json(),
            "disturbed": self.samples(|figure| figure.disturbed).to_json(),
            "system_calls_per_message": self.calls,
        })
    }
}

/// One kind of traffic, and what was seen of each server.
type Row = (Traffic, Vec<Cell>);

/// Measures, prints, and keeps what was found if that was asked for.
pub fn run(options: &Options) -> Result<()> {
    let machine = Machine::look();
    let contestants: Vec<Contestant> =
        roster::chosen(options, &server::programs()?).into_iter().filter(|one| one.echoes).collect();
    let (server_core, load_core) = machine.pair_of_cores();
    load_core.map_or(Ok(()), server::pin)?;
    let mut rows: Vec<Row> = Vec::new();
    for traffic in chosen(&options.traffic)? {
        eprintln!("→ {}", traffic.name());
        rows.push((traffic, measure_all(&contestants, traffic, options, server_core)?));
    }
    println!("{}\n", machine.line());
    print!("{}", report(&contestants, &rows));
    if options.save {
        let path = machine.save("echo", &contestants, &to_json(&contestants, &rows))?;
        println!("\nkept in {}", path.display());
    }
    Ok(())
}

/// The kinds of traffic of these keys, or all.
fn chosen(keys: &[String]) -> Result<Vec<Traffic>> {
    let known = TRAFFIC.map(Traffic::key);
    if let Some(unknown) = keys.iter().find(|key| !known.contains(key)) {
        bail!("there is no traffic {unknown}; there are {}", known.join(", "));
    }
    Ok(TRAFFIC.into_iter().filter(|traffic| keys.is_empty() || keys.contains(&traffic.key())).collect())
}

/// In rounds: the floor, a server, the floor, the next server, and so on to the floor. The clock of a core may change
/// from one second to the next, so a ratio is to the two floors beside it.
fn measure_all(
    contestants: &[Contestant],
    traffic: Traffic,
    options: &Options,
    core: Option<usize>,
) -> Result<Vec<Cell>> {
    let mut cells: Vec<Cell> = contestants.iter().map(|_| Cell::default()).collect();
    let mut floors = Vec::new();
    let measure = |contestant: &Contestant| {
        measure(contestant, traffic, options.span, core).with_context(|| contestant.name.to_owned())
    };
    for _ in 0..options.runs {
        let mut before = measure(&contestants[0])?;
        for (contestant, cell) in contestants.iter().zip(&mut cells).skip(1) {
            let figure = measure(contestant)?;
            let after = measure(&contestants[0])?;
            let ratio = 2.0 * figure.cpu / (before.cpu + after.cpu);
            cell.figures.push(Figure { ratio, ..figure });
            floors.push(std::mem::replace(&mut before, after));
        }
        floors.push(before);
    }
    let floor: Samples = floors.iter().map(|figure| figure.cpu).collect();
    let floor = floor.median();
    cells[0].figures =
        floors.into_iter().map(|figure| Figure { ratio: figure.cpu / floor, ..figure }).collect();
    if options.calls {
        for (cell, contestant) in cells.iter_mut().zip(contestants) {
            cell.calls = count_calls(contestant, traffic)?;
        }
    }
    Ok(cells)
}

fn measure(contestant: &Contestant, traffic: Traffic, span: Duration, core: Option<usize>) -> Result<Figure> {
    let server = Server::start(contestant, core)?;
    let mut load = traffic.load(&server, contestant, CONNECTIONS)?;
    let timed = load.run(span / 3, span, || server.usage())?;
    let (before, after) = timed.snapshots;
    let (usage, took): (Usage, f64) = (after.since(before), timed.took.as_secs_f64());
    let mut all = Histogram::default();
    timed.trips.iter().for_each(|trips| all.merge(trips));
    let worst = |share| timed.trips.iter().map(|trips| micros(trips.quantile(share))).fold(0.0, f64::max);
    let figure = Figure {
        cpu: usage.cpu.as_nanos() as f64 / all.total() as f64,
        ratio: f64::NAN,
        user: usage.user_share(),
        rate: all.total() as f64 / took,
        trips: (micros(all.quantile(0.5)), micros(all.quantile(0.99))),
        worst: (worst(0.5), worst(0.99)),
        busy: (usage.cpu.as_secs_f64() / took, 1.0 - timed.idle.as_secs_f64() / took),
        disturbed: usage.waited.as_secs_f64() / took,
    };
    eprintln!("  {}: {:.0} ns, {:.0}/s", contestant.name, figure.cpu, figure.rate);
    Ok(figure)
}

fn count_calls(contestant: &Contestant, traffic: Traffic) -> Result<Option<f64>> {
    let server = Server::start(contestant, None)?;
    let mut load = traffic.load(&server, contestant, CONNECTIONS)?;
    let batches = COUNTED_MESSAGES / traffic.in_flight as u64;
    let calls = server.count_calls(|| {
        load.begin(batches)?;
        load.pump()
    })?;
    let messages = batches as usize * traffic.in_flight * CONNECTIONS;
    Ok(calls.map(|calls| calls as f64 / messages as f64))
}

/// A few messages of every kind through one server, with no clock: whether it still works, for tests.
pub fn smoke(contestant: &Contestant) -> Result<u64> {
    let server = Server::start(contestant, None)?;
    let (connections, batches) = SMOKE;
    let mut answered = 0;
    for traffic in TRAFFIC {
        let mut load = traffic.load(&server, contestant, connections)?;
        load.begin(batches)?;
        load.pump()?;
        answered += load.take_trips().iter().map(Histogram::total).sum::<u64>();
    }
    Ok(answered)
}

/// How many messages [`smoke`] sends.
pub fn smoke_messages() -> u64 {
    let (connections, batches) = SMOKE;
    TRAFFIC.iter().map(|traffic| traffic.in_flight as u64 * batches * connections as u64).sum()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The ratios in one table, then a table for each kind of traffic with all that was seen.
fn report(contestants: &[Contestant], measured: &[Row]) -> String {
    let columns = measured.iter().map(|(traffic, _)| traffic.name());
    let head: Vec<String> = ["CPU per message ÷ floor".to_owned()].into_iter().chain(columns).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (at, contestant) in contestants.iter().enumerate() {
        let ratios = measured.iter().map(|(_, cells)| {
            let ratio = cells[at].samples(|figure| figure.ratio);
            format!("{:.2} ({:.2}–{:.2})", ratio.median(), ratio.min(), ratio.max())
        });
        rows.push([contestant.name.to_owned()].into_iter().chain(ratios).collect());
    }
    let targets = measured.iter().map(|(traffic, _)| format!("≤ {:.2}", traffic.target));
    rows.push(["target of trunkline-ws".to_owned()].into_iter().chain(targets).collect());
    let mut text = table::render(&head, &rows);
    for (traffic, cells) in measured {
        text.push_str(&format!("\n{}", details(*traffic, contestants, cells)));
    }
    text
}

fn details(traffic: Traffic, contestants: &[Contestant], cells: &[Cell]) -> String {
    let head = [
        &*traffic.name(),
        "CPU µs",
        "user",
        "messages/s",
        "p50 µs",
        "p99 µs",
        "worst p50",
        "worst p99",
        "server",
        "load",
        "disturbed",
        "calls",
    ];
    let rows = contestants.iter().zip(cells).map(|(contestant, cell)| {
        let median = |pick: fn(&Figure) -> f64| cell.samples(pick).median();
        let share = |pick: fn(&Figure) -> f64| format!("{:.0} %", 100.0 * cell.samples(pick).median());
        vec![
            contestant.name.to_owned(),
            format!("{:.2}", median(|figure| figure.cpu) / 1e3),
            share(|figure| figure.user),
            format!("{:.0}", median(|figure| figure.rate)),
            format!("{:.0}", median(|figure| figure.trips.0)),
            format!("{:.0}", median(|figure| figure.trips.1)),
            format!("{:.0}", median(|figure| figure.worst.0)),
            format!("{:.0}", median(|figure| figure.worst.1)),
            share(|figure| figure.busy.0),
            share(|figure| figure.busy.1),
            format!("{:.1} %", 100.0 * cell.samples(|figure| figure.disturbed).max()),
            cell.calls.map_or("–".to_owned(), |calls| format!("{calls:.3}")),
        ]
    });
    table::render(&head.map(str::to_owned), &rows.collect::<Vec<_>>())
}

fn to_json(contestants: &[Contestant], measured: &[Row]) -> Value {
    let kinds = measured.iter().map(|(traffic, cells)| {
        let servers: serde_json::Map<String, Value> = contestants
            .iter()
            .zip(cells)
            .map(|(contestant, cell)| (contestant.name.to_owned(), cell.to_json()))
            .collect();
        json!({
            "size": traffic.size,
            "in_flight": traffic.in_flight,
            "connections": CONNECTIONS,
            "target": traffic.target,
            "servers": servers,
        })
    });
    kinds.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_traffic_are_chosen_by_key() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert_eq!(chosen(&[]).expect("all").len(), TRAFFIC.len());
        let two = chosen(&keys(&["16384x1", "20x16"])).expect("both are known");
        assert_eq!(two.iter().map(|traffic| traffic.key()).collect::<Vec<_>>(), ["20x16", "16384x1"]);
        assert!(chosen(&keys(&["20x2"])).is_err());
    }
}
