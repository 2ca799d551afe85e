//! One run: a node, its clients and what goes wrong, moved step by step. Every order in which messages, answers, faults
//! and closings can meet is some seed's.
//!
//! Each step draws from a generator of its own, so that a run without some of its steps is a run too; `shrink` lives on
//! that. What clients do stands in `acts`, what must hold in the end in `ending`. Called by `run`.

use std::time::Duration;

use trunkline_model::{ChannelName, Epoch, Form, Payload};

use crate::client::Client;
use crate::node::{Node, Who};
use crate::rng::Rng;
use crate::setting::{Setting, StepKind};
use crate::store::Fate;
use crate::tally::Tally;
use crate::truth::{Rules, Truth};
use crate::violation::{Checked, Checker, ensure};
use crate::words::line;

/// How the disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disk {
    /// Well, but for the odd fault.
    Well,
    /// It takes nothing.
    Full,
    /// It takes its time.
    Slow,
    /// It takes, but gives nothing back.
    Deaf,
}

/// A line that its client has left without a word, which the node has not noticed.
struct Left {
    client: usize,
    /// Which of the client's lines it is.
    line: u64,
    who: Who,
}

/// A run of a node with its clients.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) node: Node,
    pub(crate) clients: Vec<Client>,
    pub(crate) setting: Setting,
    pub(crate) rules: Rules,
    pub(crate) tally: Tally,
    pub(crate) sessions: u64,
    /// Lines that their clients have left without a word.
    left: Vec<Left>,
    disk: Disk,
    seed: u64,
    /// The step that is being done; `None` before the first and after the last.
    step: Option<u32>,
    /// What has happened, in words, if it is wanted.
    trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let setting = Setting::draw(&mut rng);
        let mut node = Node::new(setting.workers, setting.limits.clone(), setting.namespaces());
        node.spelled = setting.spelled;
        let mut world = Self {
            rng,
            node,
            clients: (0..setting.clients).map(Client::new).collect(),
            rules: setting.rules(),
            setting,
            tally: Tally::default(),
            sessions: 0,
            left: Vec::new(),
            disk: Disk::Well,
            seed,
            step: None,
            trace: traced.then(Vec::new),
        };
        world.write_the_past();
        world
    }

    /// What was stored before the node started: up to two epochs, sometimes trimmed.
    fn write_the_past(&mut self) {
        for channel in self.setting.channels.clone().iter().filter(|channel| is_log(channel)) {
            for epoch in [10, 11] {
                self.node.store.begin(Epoch::from_random(epoch));
                for number in 0..self.rng.below(8) {
                    let payload = Payload::new(Form::Text, format!("past.{channel}.{epoch}.{number}"));
                    let now = self.node.now().ts;
                    self.node.store.put(channel, payload, now);
                }
            }
            if self.rng.percent(30) {
                let last = self.rng.below(self.node.store.log(channel).entries.len() + 1);
                self.node.store.trim(channel, last as u64);
            }
        }
        self.node.store.crash(Epoch::from_random(12), false);
        let Setting { workers, limits, chat, faults, spelled, .. } = &self.setting;
        let (queue, replay) = (limits.queue, chat.recover_entries);
        let words = format!(
            "{workers} workers, {} clients, queues of {queue}, replays of up to {replay}, {faults} % faults{}",
            self.clients.len(),
            if *spelled { ", spelled in trunkline.v1" } else { "" }
        );
        self.say(|| words);
    }

    /// Does the step with this number.
    pub(crate) fn step(&mut self, number: u32) -> Checked {
        self.rng = Rng::of_step(self.seed, number);
        self.step = Some(number);
        match self.setting.kind(&mut self.rng) {
            StepKind::Act => self.act()?,
            StepKind::Queue => self.move_queue(),
            StepKind::Appends => self.move_appends(),
            StepKind::Reads => self.move_reads(),
            StepKind::Listen => {
                let index = self.rng.below(self.clients.len());
                self.read(index, usize::MAX)?;
            }
            StepKind::Time => self.pass_time(),
            StepKind::Door => {
                if self.node.admit() {
                    self.say(|| "the door answers, or an outbox has drained".to_owned());
                }
            }
            StepKind::Speed => self.change_speed(),
            StepKind::Disk => self.change_disk(),
            StepKind::Trim => self.trim()?,
            StepKind::BackUp => {
                self.say(|| "a backup is made".to_owned());
                self.node.store.back_up();
            }
            StepKind::Reopen => self.reopen(),
            StepKind::Crash => self.crash()?,
        }
        self.node.check()
    }

    /// The steps are done. The end draws the same whatever they were.
    pub(crate) fn leave_steps(&mut self) {
        self.rng = Rng::of_step(self.seed, u32::MAX);
        self.step = None;
    }

    // ---- what the node's loop, the disk and time do ----

    fn move_queue(&mut self) {
        let workers = self.node.workers();
        let pairs: Vec<_> = (0..workers).flat_map(|from| (0..workers).map(move |to| (from, to))).collect();
        let filled = pairs.into_iter().filter(|(from, to)| self.node.waits_between(*from, *to));
        let filled: Vec<_> = filled.collect();
        if filled.is_empty() {
            return;
        }
        let (from, to) = self.rng.pick(&filled);
        if (from, to) == self.setting.sluggish && self.rng.percent(80) {
            return;
        }
        if self.rng.percent(50) {
            self.node.tell_room(to);
        }
        let count = self.rng.between(1, 6);
        let moved = (0..count).filter(|_| self.node.hand_over(from, to)).count();
        if moved > 0 {
            self.say(|| format!("worker {to} hears {moved} from worker {from}"));
        }
    }

    fn move_appends(&mut self) {
        let commits = self.rng.between(0, 5);
        if self.disk != Disk::Slow || self.rng.percent(10) {
            (0..commits).for_each(|_| self.commit());
        }
        let answered: Vec<u16> =
            (0..self.node.workers()).filter(|worker| self.node.store.is_answered(*worker)).collect();
        let all: Vec<u16> = (0..self.node.workers()).collect();
        let worker = self.rng.pick(if answered.is_empty() { &all } else { &answered });
        if self.rng.percent(50) {
            self.node.tell_room(worker);
        }
        let (appends, reads) = (self.rng.between(0, 5), self.rng.below(3));
        let picks: Vec<usize> = (0..reads).map(|_| self.rng.below(1_000)).collect();
        let mut answered = 0;
        self.node.begin_batch();
        for at in 0..appends.max(picks.len()) {
            if at < appends {
                answered += usize::from(self.node.answer_append(worker));
            }
            let answers = self.node.store.waiting_answers();
            if let Some(pick) = picks.get(at).filter(|_| answers > 0) {
                self.node.answer_read(pick % answers);
                answered += 1;
            }
        }
        // A command may be read in the same turn.
        if self.rng.percent(30) {
            let index = self.rng.below(self.clients.len());
            self.subscribe(index);
        }
        self.node.end_batch();
        if answered > 0 {
            self.say(|| format!("the store answers {answered} times, mostly to worker {worker}"));
        }
    }

    fn commit(&mut self) {
        let fate = if self.disk == Disk::Full {
            Fate::NotStored
        } else if self.rng.percent(self.setting.faults) {
            self.rng.pick(&[Fate::NotStored, Fate::UnknownStored, Fate::UnknownLost])
        } else {
            Fate::Stored
        };
        self.node.store.fates.push_back(fate);
        if self.node.commit() {
            self.say(|| format!("the store takes an append: {fate:?}"));
        }
        self.node.store.fates.clear();
    }

    fn move_reads(&mut self) {
        let waiting = self.node.store.waiting_reads();
        if waiting > 0 && self.rng.percent(60) {
            let fails = self.disk == Disk::Deaf || self.rng.percent(2 * self.setting.faults);
            self.node.store.failing_reads = usize::from(fails);
            let index = self.rng.below(waiting);
            self.say(|| format!("the store carries out a read{}", if fails { ", which fails" } else { "" }));
            self.node.store.carry_out(index);
            self.node.store.failing_reads = 0;
        }
        let answers = self.node.store.waiting_answers();
        if answers > 0 && self.rng.percent(60) {
            let index = self.rng.below(answers);
            self.say(|| "the store answers a read".to_owned());
            self.node.answer_read(index);
        }
    }

    fn pass_time(&mut self) {
        let ms = self.rng.pick(&[10, 600, 1_500]);
        self.say(|| format!("{ms} ms pass"));
        self.node.uptime += Duration::from_millis(ms);
        self.node.tick();
    }

    /// A client's line becomes slow, or fast again.
    fn change_speed(&mut self) {
        let index = self.rng.below(self.clients.len());
        let Some(who) = self.clients[index].who else { return };
        let room = self.rng.pick(&[0, 1, 3, usize::MAX]);
        let speed = if room == usize::MAX { "all".to_owned() } else { room.to_string() };
        self.say_of(index, || format!("takes {speed} at a time"));
        self.node.make_slow(who, room);
    }

    fn change_disk(&mut self) {
        self.disk = self.rng.pick(&[Disk::Well, Disk::Full, Disk::Slow, Disk::Deaf]);
        if self.disk != Disk::Well {
            self.tally.count("disk in trouble");
        }
        let disk = self.disk;
        self.say(|| format!("the disk is {disk:?}"));
    }

    pub(crate) fn mend_disk(&mut self) {
        self.disk = Disk::Well;
        self.node.store.failing_reads = 0;
    }

    /// Retention takes the oldest of a log, whether everyone was told it or not.
    fn trim(&mut self) -> Checked {
        let channel = self.channel();
        if !is_log(&channel) {
            return Ok(());
        }
        let log = self.node.store.log(&channel);
        let last = log.floor() + self.rng.below(6) as u64;
        self.tally.count("trimmed while running");
        self.say(|| format!("{channel} loses what is up to {last}"));
        self.node.store.trim(&channel, last);
        Ok(())
    }

    /// As after an I/O error that left the outcome of a commit open, or a failover to a copy that lags.
    fn reopen(&mut self) {
        let epoch = Epoch::from_random(self.rng.draw());
        if self.rng.percent(60) && self.node.store.is_backed_up() {
            self.tally.count("end lost under a running node");
            self.say(|| {
                format!("the store has lost what came after the backup, and goes on in epoch {epoch}")
            });
            self.node.store.lose_end(epoch);
        } else {
            self.tally.count("epoch begun under a running node");
            self.say(|| format!("the store is opened again, in epoch {epoch}"));
            self.node.store.begin(epoch);
        }
    }

    fn crash(&mut self) -> Checked {
        // What was on the lines may still be read; then they are cut.
        for index in 0..self.clients.len() {
            let count = self.rng.below(6);
            self.read(index, count)?;
        }
        let (epoch, restored) = (Epoch::from_random(self.rng.draw()), self.rng.percent(60));
        let gone = self.node.crash(epoch, restored);
        self.clients.iter_mut().for_each(Client::closed);
        self.left.clear();
        self.disk = Disk::Well;
        self.tally.count("crash");
        self.tally.add("entries lost with a backup", gone as u64);
        self.say(|| format!("the node crashes and starts in epoch {epoch}; {gone} entries are gone"));
        Ok(())
    }

    // ---- lines that were left ----

    /// The client goes, and the node does not hear of it.
    pub(crate) fn leave(&mut self, index: usize, who: Who) {
        self.tally.count("left without a word");
        self.left.push(Left { client: index, line: self.clients[index].lines, who });
    }

    /// A line that was left is closed when the session is taken up by another, if that one stays. The others end now.
    pub(crate) fn end_left(&mut self) -> Checked {
        for Left { client, line, who } in std::mem::take(&mut self.left) {
            let is_open = self.node.is_open(who);
            let Client { who: now, lines, welcomed, .. } = &self.clients[client];
            let is_taken_up = now.is_some() && *lines == line + 1 && welcomed == lines;
            ensure(!(is_open && is_taken_up), Checker::Quiet, || {
                format!("a line that u{client} has replaced is open still")
            })?;
            if is_open {
                self.node.close(who);
            } else {
                self.tally.count("replaced");
            }
        }
        Ok(())
    }

    // ---- for all ----

    /// The client reads up to `count` of what came.
    pub(crate) fn read(&mut self, index: usize, count: usize) -> Checked {
        let Some(who) = self.clients[index].who else { return Ok(()) };
        let heard = self.node.heard(who, count);
        for heard in heard {
            self.say_of(index, || format!("hears {}", line(&heard)));
            let truth = Truth { store: &self.node.store, rules: self.rules, now: self.node.now().ts };
            self.clients[index].hears(heard, truth, &mut self.tally)?;
        }
        Ok(())
    }

    pub(crate) fn channel(&mut self) -> ChannelName {
        let channels = &self.setting.channels;
        if self.rng.percent(40) { channels[0].clone() } else { self.rng.pick(channels) }
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(told(self.step, &what()));
        }
    }

    pub(crate) fn say_of(&mut self, index: usize, what: impl FnOnce() -> String) {
        let Self { trace, clients, step, .. } = self;
        if let Some(trace) = trace {
            trace.push(told(*step, &format!("{} {}", clients[index].name, what())));
        }
    }

    pub(crate) fn into_records(self) -> (Tally, Vec<String>) {
        (self.tally, self.trace.unwrap_or_default())
    }
}

fn told(step: Option<u32>, what: &str) -> String {
    let step = step.map_or(String::new(), |step| step.to_string());
    format!("{step:>5}  {what}")
}

/// Whether it keeps only the newest of each entry.
pub(crate) fn keeps_newest(channel: &ChannelName) -> bool {
    matches!(channel.namespace(), "map" | "value")
}

pub(crate) fn is_log(channel: &ChannelName) -> bool {
    channel.namespace() == "chat"
}
