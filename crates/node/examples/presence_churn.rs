//! What presence costs where much changes: so many members, 500 changes a second, for 10 simulated seconds. Prints the time
//! that the hub and the encoding take, and what each subscriber is told.
//!
//! `cargo run --release -p trunkline-node --example presence_churn`

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_dialect::json;
use trunkline_hub::{Hub, Input, Moment, Output, SessionId};
use trunkline_model::{
    Action, ChannelName, ClientId, Command, Form, Identity, Kind, Limits, Namespace, Namespaces, Payload,
    PresenceMode, PresenceQuery, Publisher, Start, Subscribe, Timestamp, UserName,
};

const CHANGES_PER_SECOND: u32 = 500;
const SECONDS: u32 = 10;

/// One worker with its sessions, and what was told.
struct Scene {
    hub: Hub,
    uptime: Duration,
    outputs: Vec<Output>,
    /// The generation of each session, and whether it is open.
    seats: Vec<(u32, bool)>,
    updates: u64,
    /// What one subscriber was sent, frames included.
    bytes: u64,
    members: u64,
}

fn channel() -> ChannelName {
    ChannelName::parse("room:big").expect("a valid name")
}

fn identity(number: u32) -> Identity {
    Identity {
        client: ClientId::new(&format!("kq3vbm7x{number:04}")),
        user: UserName::new(&format!("guest-{number}")),
        publisher: Publisher::new(&format!("session:{number}")),
        session: None,
        named: true,
        access: std::sync::Arc::default(),
    }
}

impl Scene {
    fn new(members: u32) -> Self {
        let mut namespaces = Namespaces::default();
        let room = Namespace { presence: PresenceMode::Full, ..Namespace::of_kind(Kind::Signal) };
        namespaces.insert("room", room);
        let mut scene = Self {
            hub: Hub::new(0, 1, Arc::new(Limits::default()), Arc::new(namespaces)),
            uptime: Duration::ZERO,
            outputs: Vec::new(),
            seats: vec![(0, false); members as usize],
            updates: 0,
            bytes: 0,
            members: 0,
        };
        (0..members).for_each(|number| scene.enter(number));
        // Until all of them have been told.
        (0..600).for_each(|_| scene.pass(Duration::from_millis(100)));
        (scene.updates, scene.bytes, scene.members) = (0, 0, 0);
        scene
    }

    fn id(&self, number: u32) -> SessionId {
        SessionId { index: number, generation: self.seats[number as usize].0 }
    }

    fn handle(&mut self, input: Input) {
        let now =
            Moment { ts: Timestamp(1_800_000_000_000 + self.uptime.as_millis() as u64), uptime: self.uptime };
        self.hub.handle(now, input, &mut self.outputs);
        let mut text = Vec::new();
        for output in self.outputs.drain(..) {
            let Output::Present { update, .. } = output else { continue };
            text.clear();
            json::encode_presence(&update, &mut text);
            self.updates += 1;
            // A frame of this size has a head of 4 bytes.
            self.bytes += text.len() as u64 + 4;
            self.members += String::from_utf8_lossy(&text).matches("\"client\"").count() as u64;
        }
    }

    fn command(&mut self, number: u32, action: Action) {
        let session = self.id(number);
        self.handle(Input::Command { session, command: Command { id: None, action } });
    }

    fn enter(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        *seat = (seat.0 + 1, true);
        let session = self.id(number);
        self.handle(Input::Opened { session, identity: Some(identity(number)), token: None });
        let subscribe = Subscribe::new(channel(), Start::Next);
        self.command(number, Action::Subscribe(Subscribe { presence: true, ..subscribe }));
    }

    /// Most say something about themselves; one in ten goes, or comes back.
    fn change(&mut self, count: u32) {
        let number = count.wrapping_mul(2_654_435_761) % self.seats.len() as u32;
        let open = self.seats[number as usize].1;
        if !open {
            self.enter(number);
        } else if count.is_multiple_of(10) {
            let session = self.id(number);
            self.seats[number as usize].1 = false;
            self.handle(Input::Closed { session });
        } else {
            let state =
                Payload::new(Form::Json, format!("{{\"cursor\":[{count},{number}],\"typing\":false}}"));
            let query = PresenceQuery { channel: channel(), state: Some(state) };
            self.command(number, Action::Presence(query));
        }
    }

    fn pass(&mut self, time: Duration) {
        self.uptime += time;
        if self.hub.wakes_at().is_some_and(|at| at <= self.uptime) {
            self.handle(Input::Due);
        }
    }
}

fn main() {
    for members in [5_000, 900] {
        let mut scene = Scene::new(members);
        let begun = Instant::now();
        for count in 0..SECONDS * CHANGES_PER_SECOND {
            scene.change(count);
            scene.pass(Duration::from_secs(1) / CHANGES_PER_SECOND);
        }
        let took = begun.elapsed();
        let per_second = |what: u64| what as f64 / f64::from(SECONDS);
        println!(
            "{members} members, {CHANGES_PER_SECOND} changes/s: {:.2} ms of one core per second; each subscriber gets {:.1} \
             updates, {:.0} members, {:.0} bytes per second",
            took.as_secs_f64() * 1_000.0 / f64::from(SECONDS),
            per_second(scene.updates),
            per_second(scene.members),
            per_second(scene.bytes),
        );
    }
}
