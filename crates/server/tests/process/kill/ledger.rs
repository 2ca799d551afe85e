//! The truth about the log, read from the server after each restart, and all that it is held against:
//! acknowledgements, what subscribers saw, and itself as it was before.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::CHANNELS;
use super::publisher::{Acknowledged, Publisher};
use super::subscriber::{Seen, Subscriber};
use crate::client::Client;
use crate::server::Server;

/// An entry of a log.
#[derive(Clone, PartialEq, Debug)]
struct Entry {
    epoch: String,
    by: u64,
    serial: u64,
    key: Option<String>,
    ts: u64,
}

/// The logs as they were read last.
pub(super) struct Ledger {
    logs: Vec<Vec<Entry>>,
    /// How long they were when this life of the server began.
    begun: Vec<usize>,
    /// publisher, serial → where it stands
    places: HashMap<(u64, u64), (usize, usize)>,
    acknowledged: usize,
    duplicates: usize,
    seen: usize,
    told: usize,
    replayed: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            logs: vec![Vec::new(); CHANNELS.len()],
            begun: vec![0; CHANNELS.len()],
            places: HashMap::new(),
            acknowledged: 0,
            duplicates: 0,
            seen: 0,
            told: 0,
            replayed: 0,
        }
    }
}

impl Ledger {
    /// Reads what the last life has added, and holds it against what everyone was told and saw in it.
    pub(super) async fn check(
        &mut self,
        server: &Server,
        publishers: &mut [Publisher],
        subscribers: &mut [Subscriber],
    ) {
        self.read(server).await;
        for publisher in publishers {
            for told in std::mem::take(&mut publisher.acknowledged) {
                self.check_acknowledged(publisher.me, &told);
            }
        }
        for subscriber in subscribers {
            for seen in std::mem::take(&mut subscriber.seen) {
                self.check_seen(&seen);
            }
            self.told += std::mem::take(&mut subscriber.told);
            self.replayed += std::mem::take(&mut subscriber.replayed);
        }
        self.begun = self.logs.iter().map(Vec::len).collect();
    }

    /// Reads what was added, from the last entry that is known.
    pub(super) async fn read(&mut self, server: &Server) {
        let mut client = Client::open(server).await;
        for (channel, name) in CHANNELS.iter().enumerate() {
            let last = self.logs[channel].last();
            let from = self.logs[channel].len().saturating_sub(1) as u64;
            let epoch = last.map(|entry| entry.epoch.clone());
            let mut read = pages(&mut client, name, from, epoch).await.into_iter();
            if last.is_some() {
                assert_eq!(read.next().as_ref(), last, "{name} ended with it");
            }
            for entry in read {
                self.append(channel, entry);
            }
        }
    }

    /// Reads everything from the beginning: nothing has changed.
    pub(super) async fn check_again(&self, server: &Server) {
        let mut client = Client::open(server).await;
        for (channel, log) in CHANNELS.iter().zip(&self.logs) {
            assert!(
                pages(&mut client, channel, 0, None).await == *log,
                "{channel} has another past than before"
            );
        }
    }

    /// How far each log had come when it was read last.
    pub(super) fn heads(&self) -> Vec<u64> {
        self.logs.iter().map(|log| log.len() as u64).collect()
    }

    pub(super) fn summary(&self) -> String {
        let entries: usize = self.logs.iter().map(Vec::len).sum();
        format!(
            "{entries} entries, {} acknowledged ({} of them again), {} seen, {} replayed, {} told of a gap",
            self.acknowledged, self.duplicates, self.seen, self.replayed, self.told
        )
    }

    fn append(&mut self, channel: usize, entry: Entry) {
        let log = &mut self.logs[channel];
        let offset = log.len() + 1;
        let twice = self.places.insert((entry.by, entry.serial), (channel, offset));
        assert!(twice.is_none(), "{entry:?} stands at {twice:?} and at {offset} of {}", CHANNELS[channel]);
        let earlier = log.iter().rev().find(|other| other.by == entry.by);
        let in_order = earlier.is_none_or(|earlier| earlier.serial < entry.serial);
        assert!(in_order, "{entry:?} was sent before {earlier:?}");
        assert!(log.last().is_none_or(|last| last.ts <= entry.ts), "the clock went back at {entry:?}");
        log.push(entry);
    }

    fn check_acknowledged(&mut self, by: usize, told: &Acknowledged) {
        let Acknowledged { sent, epoch, offset, duplicate } = told;
        let (entry, name) = (self.at(sent.channel, *offset), CHANNELS[sent.channel]);
        let Some(entry) = entry else { panic!("lost from {name}: {told:?} of publisher {by}") };
        let as_told = (entry.by, entry.serial, &entry.key, &entry.epoch);
        assert_eq!(as_told, (by as u64, sent.serial, &sent.key, epoch), "{name} at {offset}: {told:?}");
        let old = *offset <= self.begun[sent.channel] as u64;
        assert_eq!(*duplicate, old, "a duplicate is what an earlier life has stored: {told:?}");
        assert!(!duplicate || sent.again, "it was sent once: {told:?}");
        self.acknowledged += 1;
        self.duplicates += usize::from(*duplicate);
    }

    fn check_seen(&mut self, seen: &Seen) {
        let entry = self.at(seen.channel, seen.offset);
        let as_seen = entry.map(|entry| (&*entry.epoch, entry.by, entry.serial));
        assert_eq!(
            as_seen,
            Some((&*seen.epoch, seen.by, seen.serial)),
            "{}: {seen:?}",
            CHANNELS[seen.channel]
        );
        self.seen += 1;
    }

    fn at(&self, channel: usize, offset: u64) -> Option<&Entry> {
        self.logs[channel].get(usize::try_from(offset).ok()?.checked_sub(1)?)
    }
}

/// All entries after `after`, whose epoch is `epoch`, page by page.
async fn pages(client: &mut Client, channel: &str, after: u64, epoch: Option<String>) -> Vec<Entry> {
    let mut entries = Vec::new();
    // The entry at `after` is not read, so the epoch of the next one is said only if it is a new one.
    let mut epoch = if after == 0 { None } else { epoch };
    loop {
        let after = after + entries.len() as u64;
        let page =
            client.ask(json!({ "type": "history", "channel": channel, "after": after, "limit": 1000 })).await;
        assert_eq!((&page["type"], &page["floor"]), (&json!("history"), &json!(1)), "{page}");
        for (item, offset) in page["items"].as_array().expect("a page has items").iter().zip(after + 1..) {
            assert_eq!(item["offset"], offset, "offsets are dense: {item}");
            epoch = item["epoch"].as_str().map(str::to_owned).or(epoch);
            let epoch = epoch.clone().expect("the first entry says its epoch");
            entries.push(entry(item, epoch));
        }
        if page["more"] == false {
            let top = after.max(page["hi"].as_u64().expect("a page has bounds"));
            assert_eq!(page["top"], top, "the last page ends at the top: {page}");
            if let Some(epoch) = &epoch {
                assert_eq!(page["epoch"], **epoch, "the page names the epoch of its top");
            }
            return entries;
        }
    }
}

fn entry(item: &Value, epoch: String) -> Entry {
    Entry {
        epoch,
        by: item["data"]["by"].as_u64().expect("all publishers say who they are"),
        serial: item["data"]["serial"].as_u64().expect("all publishers count"),
        key: item["key"].as_str().map(str::to_owned),
        ts: item["ts"].as_u64().expect("every entry has a time"),
    }
}
