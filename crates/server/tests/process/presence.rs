//! Presence as clients see it over real sockets: who comes, who loads the page again, whose line is cut, and who is only
//! in a plain room.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::Client;
use crate::fan_out::asleep_after;
use crate::patience::soon;
use crate::raw::Raw;
use crate::server::{Folder, Server};

/// One namespace where whoever leaves is soon gone, one where nobody is.
const CONFIG: &str = "[namespace.fast]\nkind = \"signal\"\npresence = \"full\"\ngrace = \"100ms\"\n\
    [namespace.slow]\nkind = \"signal\"\npresence = \"full\"\ngrace = \"60s\"\n";

/// What a client knows of who is in a channel: the state of each, by name or user.
#[derive(Default)]
struct Known {
    members: BTreeMap<String, Value>,
    /// Everyone who was ever told to be gone.
    gone: Vec<String>,
}

impl Known {
    fn hears(&mut self, presence: &Value) {
        if presence["all"] == true {
            self.members.clear();
        }
        for member in presence["set"].as_array().into_iter().flatten() {
            self.members.insert(text(&member["client"]), member.clone());
        }
        for client in presence["gone"].as_array().into_iter().flatten() {
            self.members.remove(&text(client));
            self.gone.push(text(client));
        }
    }

    /// Hears what `client` is told until `done` holds.
    async fn until(&mut self, client: &mut Client, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let told = client.next().await;
            assert_eq!(told["type"], "presence", "{told}");
            self.hears(&told);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// A client that has said its name, and its welcome.
async fn named(server: &Server, name: &str, session: &Value) -> (Client, Value) {
    let mut client = Client::open(server).await;
    let welcome = client.ask(json!({ "type": "connect", "name": name, "session": session })).await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    (client, welcome)
}

async fn watch(client: &mut Client, channel: &str) -> Known {
    let subscribed = client.ask(json!({ "type": "subscribe", "channel": channel, "presence": true })).await;
    assert!(subscribed["can"].as_array().is_some_and(|can| can.contains(&json!("presence"))), "{subscribed}");
    let mut known = Known::default();
    known.hears(&subscribed["presence"]);
    known
}

#[tokio::test]
async fn two_clients_see_each_other_and_what_they_say() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    // On as many workers as there are cores, and channels of any of them.
    for channel in ["fast:a", "fast:b", "fast:c", "room:a", "chat:a"] {
        let (mut ann, a) = named(&server, "Ann", &json!(null)).await;
        let (mut bob, b) = named(&server, "Bob", &json!(null)).await;
        let (ann_id, bob_id) = (text(&a["client"]), text(&b["client"]));
        let mut anns = watch(&mut ann, channel).await;
        assert_eq!(anns.members[&ann_id]["name"], "Ann");
        assert_eq!(anns.members[&ann_id]["user"], a["user"]);
        let bobs = watch(&mut bob, channel).await;
        assert_eq!(bobs.members.keys().len(), 2, "{:?}", bobs.members);
        anns.until(&mut ann, |known| known.members.contains_key(&bob_id)).await;
        assert_eq!(anns.members[&bob_id]["name"], "Bob");
        let set = json!({ "type": "presence", "channel": channel, "state": { "typing": true } });
        assert_eq!(bob.ask(set).await["set"][0]["state"], json!({ "typing": true }), "{channel}");
        let typing = |known: &Known| known.members[&bob_id]["state"] == json!({ "typing": true });
        anns.until(&mut ann, typing).await;
        let listed = ann.ask(json!({ "type": "presence", "channel": channel })).await;
        assert_eq!((&listed["count"], &listed["all"]), (&json!(2), &json!(true)), "{listed}");
    }
}

#[tokio::test]
async fn a_page_that_is_loaded_again_has_never_left() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let (mut ann, _) = named(&server, "Ann", &json!(null)).await;
    let mut anns = watch(&mut ann, "slow:a").await;
    let (mut bob, first) = named(&server, "Bob", &json!(null)).await;
    watch(&mut bob, "slow:a").await;
    for _ in 0..3 {
        drop(bob);
        let (again, welcome) = named(&server, "Bob", &first["session"]).await;
        assert_eq!(welcome["client"], first["client"]);
        bob = again;
        watch(&mut bob, "slow:a").await;
    }
    let (mut cid, third) = named(&server, "Cid", &json!(null)).await;
    watch(&mut cid, "slow:a").await;
    let cid_id = text(&third["client"]);
    anns.until(&mut ann, |known| known.members.contains_key(&cid_id)).await;
    assert_eq!(anns.gone, Vec::<String>::new());
    assert_eq!(anns.members.len(), 3, "{:?}", anns.members);
}

#[tokio::test]
async fn whose_line_is_cut_is_gone_after_grace() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let (mut ann, _) = named(&server, "Ann", &json!(null)).await;
    let mut anns = watch(&mut ann, "fast:a").await;
    let (mut bob, welcome) = named(&server, "Bob", &json!(null)).await;
    let bob_id = text(&welcome["client"]);
    let subscribed = bob.ask(json!({ "type": "subscribe", "channel": "fast:a" })).await;
    assert!(subscribed.get("presence").is_none(), "it did not ask: {subscribed}");
    anns.until(&mut ann, |known| known.members.contains_key(&bob_id)).await;
    drop(bob);
    anns.until(&mut ann, |known| !known.members.contains_key(&bob_id)).await;
    assert_eq!(anns.gone, [bob_id]);
}

/// One that reads nothing while much is published and all others change: when it reads again, it is told who is there.
#[tokio::test]
async fn who_did_not_read_is_told_who_is_there() {
    const OTHERS: usize = 12;
    let folder = Folder::with_config(CONFIG);
    for workers in [1, 2] {
        let server = Server::with_workers(&folder, workers);
        let subscribe = json!({ "type": "subscribe", "channel": "slow:a", "presence": true });
        let mut asleep = asleep_after(&server, &subscribe).await;
        let (mut ann, _) = named(&server, "Ann", &json!(null)).await;
        let mut anns = watch(&mut ann, "slow:a").await;
        let mut others = Vec::new();
        for number in 0..OTHERS {
            let (mut other, _) = named(&server, &format!("N{number}"), &json!(null)).await;
            other.ask(json!({ "type": "subscribe", "channel": "slow:a" })).await;
            others.push(other);
        }
        // More than the outbox and the buffers of the system take.
        for _ in 0..1_000 {
            let publish = json!({ "type": "publish", "channel": "slow:a", "text": "x".repeat(15_000) });
            let published = others[0].ask(publish).await;
            assert_eq!(published["type"], "published", "{published}");
        }
        let state = |round: usize| json!(format!("{round} {}", "s".repeat(1_000)));
        let all_say = |known: &Known, round| {
            let said = known.members.values().filter(|member| member["state"] == state(round)).count();
            said == OTHERS
        };
        for round in 1..=3 {
            for other in &mut others {
                let set = json!({ "type": "presence", "channel": "slow:a", "state": state(round) });
                assert_eq!(other.ask(set).await["type"], "presence");
            }
            while !all_say(&anns, round) {
                let told = ann.next().await;
                if told["type"] == "presence" {
                    anns.hears(&told);
                }
            }
        }
        let (mut known, mut lists) = (Known::default(), 0);
        while !all_say(&known, 3) {
            let told: Value =
                serde_json::from_str(&soon("what was missed", asleep.text()).await).expect("JSON");
            if told["type"] == "presence" {
                known.hears(&told);
                lists += usize::from(told["all"] == true);
            }
        }
        assert!(lists > 0, "with {workers} workers nothing was missed");
        assert_eq!(known.members, anns.members);
    }
}

#[tokio::test]
async fn a_plain_client_is_seen_and_told_nothing() {
    let folder = Folder::with_config(CONFIG);
    let server = Server::start(&folder);
    let (mut ann, _) = named(&server, "Ann", &json!(null)).await;
    let mut anns = watch(&mut ann, "room:a").await;
    let mut plain = Raw::upgraded(&server, "/room/a").await;
    anns.until(&mut ann, |known| known.members.len() == 2).await;
    let published = ann.ask(json!({ "type": "publish", "channel": "room:a", "text": "hello" })).await;
    assert_eq!(published["type"], "published");
    assert_eq!(plain.text().await, "hello", "and nothing before it");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_with_what_would_be_right() {
    let folder = Folder::with_config("[namespace.off]\nkind = \"log\"\n");
    let server = Server::start(&folder);
    let mut client = Client::open(&server).await;
    let mut refused = async |command: Value, code: &str, part: &str| {
        let error = client.ask(command).await;
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(part)), "{error}");
    };
    let off = json!({ "type": "subscribe", "channel": "off:a", "presence": true });
    refused(off, "bad_request", "the setting `presence` of its namespace is \"off\"").await;
    let unsubscribed = json!({ "type": "presence", "channel": "chat:a", "state": 1 });
    refused(unsubscribed, "bad_request", "subscribe to chat:a first").await;
    let large = json!({ "type": "subscribe", "channel": "chat:a", "state": "x".repeat(1_023) });
    refused(large, "too_large", "`state` has 1025 bytes; a member's state has at most 1024").await;
}
