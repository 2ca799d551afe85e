//! Cases: places, order, and that an entry comes back as it was.

use trunkline_model::{Form, Key, Offset, Payload, Position, Publisher, UserName};

use super::asker::{Asker, entry, keyed, name, post};
use super::{NewSite, TestClock};
use crate::{Append, Appended};

/// Offsets are 1, 2, 3… in each channel, whatever else is written in between and in one batch.
pub fn offsets_are_dense(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let mut counts = [0; 3];
    for round in 0..20 {
        let batch: Vec<usize> = (0..round + 1).map(|at| (at * 7 + round) % 3).collect();
        let appends: Vec<Append> = batch.iter().map(|channel| post(&format!("log:{channel}"), "x")).collect();
        for (channel, appended) in batch.iter().zip(asker.append_all(&appends)) {
            counts[*channel] += 1;
            let position = Position { epoch: asker.epoch(), offset: Offset(counts[*channel]) };
            let first = counts[*channel] == 1;
            let Appended { position: at, begins_epoch, duplicate, .. } = appended;
            assert_eq!(
                (at, begins_epoch, duplicate),
                (position, first, false),
                "round {round}, channel {channel}"
            );
        }
    }
    asker.close();
}

/// Appends to a channel are stored and answered in the order of submission, over many batches in flight.
pub fn answers_keep_the_order_of_submission(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let mut submitted = vec![Vec::new(); 5];
    for batch in 0..300_usize {
        let appends: Vec<Append> = (0..=batch % 7)
            .map(|at| {
                let (channel, text) = ((batch + at * at) % 5, format!("{batch}.{at}"));
                submitted[channel].push(text.clone());
                // Repeats among them take another path through a store, but not another place in the order.
                let key = format!("{}", (batch / 3) * 10 + at);
                if at % 3 == 0 {
                    keyed(&format!("log:{channel}"), &text, &key)
                } else {
                    post(&format!("log:{channel}"), &text)
                }
            })
            .collect();
        asker.submit(&appends);
    }
    asker.wait(); // checks the order of the answers
    for (channel, texts) in submitted.iter().enumerate() {
        let stored: Vec<String> = asker
            .log(&name(&format!("log:{channel}")))
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.payload.bytes).into_owned())
            .collect();
        let mut rest = texts.iter();
        assert!(
            stored.iter().all(|text| rest.any(|submitted| submitted == text)),
            "channel {channel}: {stored:?}"
        );
    }
    asker.close();
}

/// Payload, form, author, key and time come back byte by byte, also after a reopening.
pub fn payloads_and_attributes_come_back_as_they_were(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let payloads = [
        Payload::new(Form::Json, &br#"{"text":"caf\u00e9  ","n":1.0}"#[..]),
        Payload::new(Form::Json, &b"null"[..]),
        Payload::new(Form::Text, "línea\r\n\0 ünï".as_bytes()),
        Payload::new(Form::Text, &b""[..]),
        Payload::new(Form::Binary, &b""[..]),
        Payload::new(Form::Binary, all_bytes),
        Payload::new(Form::Binary, large),
    ];
    let authors = [None, Some("guest-7"), Some(""), Some("Zoë\0 🦀")];
    let longest = "k".repeat(64);
    let keys = [None, Some("k"), Some("mwsb3eaz-x"), Some("\0é"), Some(longest.as_str())];

    let mut stored = Vec::new();
    for (at, payload) in payloads.iter().enumerate() {
        clock.advance(at as u64);
        let append = Append {
            payload: payload.clone(),
            from: authors[at % authors.len()].map(UserName::new),
            key: keys[at % keys.len()].map(|key| Key::parse(key).expect("a valid key")),
            publisher: Publisher::new(&format!("user:{at}")),
            ..post("log:a", "")
        };
        let appended = asker.append(&append);
        assert!(!appended.duplicate);
        assert_eq!(appended.ts, clock.now());
        stored.push(entry(&append, &appended));
    }
    for again in [false, true] {
        if again {
            asker.close();
            asker = Asker::open(&mut *site, &clock);
        }
        let log = asker.log(&name("log:a"));
        assert_eq!(log.len(), stored.len());
        for (found, expected) in log.iter().zip(&stored) {
            assert_eq!(**found, *expected);
        }
    }
    asker.close();
}

/// `ts` is the clock's, but never smaller than that of the channel's entry before, also after a reopening.
/// Other channels do not count.
pub fn time_never_goes_back_in_a_channel(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let start = clock.now();
    assert_eq!(asker.append(&post("log:a", "1")).ts, start);
    clock.step_back(5_000);
    assert_eq!(asker.append(&post("log:a", "2")).ts, start);
    assert_eq!(asker.append(&post("log:b", "1")).ts, clock.now());
    asker.close();
    let mut asker = Asker::open(&mut *site, &clock);
    assert_eq!(asker.append(&post("log:a", "3")).ts, start);
    clock.advance(6_000);
    assert_eq!(asker.append(&post("log:a", "4")).ts, clock.now());
    assert_eq!(asker.append(&post("log:b", "2")).ts, clock.now());
    let log = asker.log(&name("log:a"));
    assert!(log.is_sorted_by_key(|entry| entry.ts), "{log:?}");
    asker.close();
}
