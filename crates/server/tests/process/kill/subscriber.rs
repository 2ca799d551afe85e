//! A subscriber that continues after each death from the last place it has seen, and insists on getting all
//! that it missed, or a reason that holds. What it saw is held against the log by the ledger.

use serde_json::{Value, json};

use super::{CHANNELS, replay_of};
use crate::client::Client;

/// A publication as a subscriber saw it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) channel: usize,
    pub(super) epoch: String,
    pub(super) offset: u64,
    pub(super) by: u64,
    pub(super) serial: u64,
}

/// One subscriber of all channels.
pub(super) struct Subscriber {
    pub(super) seen: Vec<Seen>,
    /// How often it was told that it had missed too much.
    pub(super) told: usize,
    /// How many entries were replayed to it.
    pub(super) replayed: u64,
    places: Vec<Place>,
}

/// Up to where it knows a channel. Nothing yet is (any epoch, 0).
#[derive(Clone)]
struct Place {
    epoch: String,
    offset: u64,
}

impl Subscriber {
    pub(super) fn new() -> Self {
        let nowhere = Place { epoch: "0".to_owned(), offset: 0 };
        Self { seen: Vec::new(), told: 0, replayed: 0, places: vec![nowhere; CHANNELS.len()] }
    }

    /// Follows all channels until the line is gone, or until it has come to `goal`. `heads` is how far the
    /// logs had come when it began.
    pub(super) async fn follow(&mut self, url: &str, heads: &[u64], by_connect: bool, goal: Option<&[u64]>) {
        let Some(mut client) = Client::try_open(url).await else { return };
        for command in self.opening(by_connect) {
            if !client.try_send(&command).await {
                return;
            }
        }
        while !goal.is_some_and(|goal| self.has_come_to(goal)) {
            let Some(message) = client.try_next().await else { return };
            match message["type"].as_str() {
                Some("welcome") => {}
                Some("subscribed") => self.subscribed(&message, heads),
                Some("message") => self.message(&message),
                _ => panic!("nothing that a subscriber expects: {message}"),
            }
        }
    }

    fn opening(&self, by_connect: bool) -> Vec<Value> {
        let since = |place: &Place| json!({ "epoch": place.epoch, "offset": place.offset });
        let all = CHANNELS.iter().zip(&self.places);
        if by_connect {
            let starts = all.map(|(name, place)| (name.to_string(), json!({ "since": since(place) })));
            let starts: serde_json::Map<_, _> = starts.collect();
            return vec![json!({ "type": "connect", "subscribe": starts })];
        }
        all.map(|(name, place)| json!({ "type": "subscribe", "channel": name, "since": since(place) }))
            .collect()
    }

    fn has_come_to(&self, goal: &[u64]) -> bool {
        self.places.iter().zip(goal).all(|(place, goal)| place.offset >= *goal)
    }

    fn subscribed(&mut self, message: &Value, heads: &[u64]) {
        let channel = channel_of(message);
        let place = &mut self.places[channel];
        let top = message["offset"].as_u64().expect("a log has offsets");
        assert!(top >= heads[channel], "the log stood at {} already: {message}", heads[channel]);
        assert_eq!(message["floor"], 1, "nothing is trimmed: {message}");
        let missed = top.checked_sub(place.offset);
        let missed =
            missed.unwrap_or_else(|| panic!("{} was seen, and the log is shorter: {message}", place.offset));
        if message["recovered"] == true {
            assert_eq!(message["replay"], missed, "all of ({}, {top}] is replayed: {message}", place.offset);
            self.replayed += missed;
            return;
        }
        assert_eq!(message["recovered"], false, "`since` was given: {message}");
        assert_eq!(
            message["reason"], "limit",
            "a crash takes nothing back, and nothing is trimmed: {message}"
        );
        assert!(missed > replay_of(channel), "{missed} are not too many: {message}");
        self.told += 1;
        let epoch = message["epoch"].as_str().expect("a log has epochs").to_owned();
        *place = Place { epoch, offset: top };
    }

    fn message(&mut self, message: &Value) {
        let channel = channel_of(message);
        let place = &mut self.places[channel];
        let offset = message["offset"].as_u64().expect("a log has offsets");
        assert_eq!(offset, place.offset + 1, "no gap and no double: {message}");
        if let Some(epoch) = message["epoch"].as_str() {
            place.epoch = epoch.to_owned();
        }
        place.offset = offset;
        self.seen.push(Seen {
            channel,
            offset,
            epoch: place.epoch.clone(),
            by: message["data"]["by"].as_u64().expect("all publishers say who they are"),
            serial: message["data"]["serial"].as_u64().expect("all publishers count"),
        });
    }
}

fn channel_of(message: &Value) -> usize {
    let at = CHANNELS.iter().position(|name| message["channel"] == **name);
    at.unwrap_or_else(|| panic!("of no channel that was asked for: {message}"))
}
