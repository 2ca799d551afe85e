//! Who sent what, what was acknowledged of it, and what stands in the logs and was seen of them: the books that are compared
//! when servers have come and gone. All that is published is of this module's making.

use std::collections::HashMap;

use serde_json::{Value, json};
use trunkline_client::{Channel, Client, Epoch, Message, Notice, Offset, Position, Receipt, Update};

use crate::patience::soon;

/// A publication as it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Sent {
    pub(super) by: usize,
    pub(super) serial: u64,
}

/// What a publisher was told.
pub(super) struct Acknowledged {
    pub(super) sent: Sent,
    pub(super) receipt: Receipt,
}

/// What stands in a log, or was seen of it: all from offset 1 on.
pub(super) type Log = Vec<(Option<Epoch>, Sent)>;

/// Channel `number` of so many.
pub(super) fn channel_of(client: &Client, number: usize, channels: usize) -> Channel {
    client.channel(&format!("chat:{}", number % channels)).expect("a name")
}

/// How a subscriber gets what it has missed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missed {
    /// The server replays all of it.
    Replayed,
    /// It fetches by itself what the server does not replay.
    Fetched,
}

/// Follows a channel from its beginning to the message that says that it is over. Gives what it has seen, and how often it
/// was back.
pub(super) async fn follow(channel: Channel, missed: Missed) -> (Log, usize) {
    let beginning = Position { epoch: Epoch::NONE, offset: Offset::ZERO };
    let subscribing = match missed {
        Missed::Replayed => channel.catch_up(beginning).await,
        Missed::Fetched => channel.subscribe_since(beginning).await,
    };
    let mut updates = subscribing.expect("it is followed");
    let (mut log, mut recovered) = (Log::new(), 0);
    loop {
        match updates.next().await.expect("it goes on") {
            Update::Notice(Notice::Recovered { .. }) => recovered += 1,
            Update::Notice(notice) => panic!("a server that ends takes nothing back: {notice:?}"),
            Update::Message(message) => {
                assert_eq!(message.offset, Some(Offset(log.len() as u64 + 1)), "no gap and no double");
                match sent(&message) {
                    Some(sent) => log.push((message.epoch, sent)),
                    None => return (log, recovered),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Tells those who follow that it is over.
pub(super) async fn end(client: &Client, channels: usize) {
    for channel in 0..channels {
        let channel = channel_of(client, channel, channels);
        soon("an answer", channel.publish(json!("over"))).await.expect("it is stored");
    }
}

pub(super) fn content(sent: Sent) -> Value {
    json!({ "by": sent.by, "serial": sent.serial })
}

fn sent(message: &Message) -> Option<Sent> {
    let said: Value = serde_json::from_slice(&message.payload.bytes).expect("all that is published is JSON");
    let number = |name: &str| said[name].as_u64();
    Some(Sent { by: usize::try_from(number("by")?).ok()?, serial: number("serial")? })
}

/// All logs, from their pages.
pub(super) async fn read(client: &Client, channels: usize) -> Vec<Log> {
    let mut logs = Vec::new();
    for number in 0..channels {
        let (channel, mut log, mut epoch) = (channel_of(client, number, channels), Log::new(), None);
        loop {
            let page =
                soon("a page", channel.after(Offset(log.len() as u64), 1_000)).await.expect("there is one");
            for item in page.items {
                epoch = item.epoch.or(epoch);
                assert_eq!(item.offset, Some(Offset(log.len() as u64 + 1)), "offsets are dense");
                log.push((epoch, sent(&item).expect("nobody has published anything else")));
            }
            if !page.more {
                assert_eq!(page.top.0, log.len() as u64, "the last page ends at the top");
                break;
            }
        }
        logs.push(log);
    }
    logs
}

/// Each acknowledged publish stands where it was told to, each once, and each publisher's in its order. Gives the number
/// of entries, and how many acknowledgements were duplicates.
pub(super) fn check_acknowledged(logs: &[Log], acknowledged: &[Acknowledged]) -> (usize, usize) {
    let mut places = HashMap::new();
    for (number, log) in logs.iter().enumerate() {
        let mut last: HashMap<usize, u64> = HashMap::new();
        for (at, (_, sent)) in log.iter().enumerate() {
            let twice = places.insert(*sent, (number, at));
            assert!(twice.is_none(), "{sent:?} stands at {twice:?} and at {at} of {number}");
            let before = last.insert(sent.by, sent.serial);
            assert!(before.is_none_or(|before| before < sent.serial), "{sent:?} was sent before {before:?}");
        }
    }
    for Acknowledged { sent, receipt } in acknowledged {
        let position = receipt.position.expect("a log has positions");
        let log = &logs[sent.by % logs.len()];
        let entry = log.get(usize::try_from(position.offset.0).expect("it fits") - 1);
        assert_eq!(entry, Some(&(Some(position.epoch), *sent)), "it stands at {position:?}");
    }
    let entries = logs.iter().map(Vec::len).sum();
    assert_eq!(entries, acknowledged.len(), "all that is stored was acknowledged in the end");
    (entries, acknowledged.iter().filter(|told| told.receipt.duplicate).count())
}
