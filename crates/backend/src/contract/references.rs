//! Cases: edits, deletions and reactions, and pages as readers of history see them.

use std::sync::Arc;

use trunkline_model::{
    ChannelName, Fold, Form, Offset, Op, Payload, Publication, Reference, Retention, Role, UserName,
};

use super::asker::{ALL, Asker, entry, keyed, map_entry, name, offsets, post, range_of};
use super::{NewSite, TestClock};
use crate::{
    Append, Appended, Direction, FOLDED_LOOKS, REACTIONS_MAX, Read, ReadResult, Refusal, Retentions,
    StoreError, Window,
};

/// A reference of `author` to a message of `log:a`.
fn refer(op: Op, target: u64, author: &str, text: &str) -> Append {
    let role = Role::Reference(Reference { target: Offset(target), op });
    Append { role, from: Some(UserName::new(author)), ..post("log:a", text) }
}

fn refused(refusal: Refusal) -> Result<Appended, StoreError> {
    Err(StoreError::Refused(refusal))
}

fn read_folded(asker: &mut Asker, range: (u64, u64), direction: Direction, window: Window) -> ReadResult {
    asker.read_range(Read { folded: true, ..range_of(&channel(), range, direction, window) })
}

fn channel() -> ChannelName {
    name("log:a")
}

/// The message at `offset` as a page of history shows it.
fn message(asker: &mut Asker, offset: u64) -> Arc<Publication> {
    let page = read_folded(asker, (offset, offset), Direction::Forward, ALL);
    assert_eq!(page.entries.len(), 1, "message {offset}");
    Arc::clone(&page.entries[0])
}

fn reactions(asker: &mut Asker, offset: u64) -> Vec<(String, u32)> {
    let fold = message(asker, offset).fold.clone().unwrap_or_default();
    fold.reactions.iter().map(|(value, count)| (value.to_string(), *count)).collect()
}

fn check_message(asker: &mut Asker, offset: u64, text: &str, rev: Option<u64>) {
    let found = message(asker, offset);
    let rev_found = found.fold.as_ref().map(|fold| fold.rev.0);
    assert_eq!((&found.payload.bytes[..], rev_found), (text.as_bytes(), rev), "message {offset}");
}

/// References are entries as others are; a page shows the message with its newest edit instead of them. Offset, author,
/// key and time stay those of the message.
pub fn a_page_shows_messages_as_they_were_edited(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let first = keyed("log:a", "first", "k");
    let edit = Append { payload: Payload::new(Form::Json, &b"{}"[..]), ..refer(Op::Edit, 1, "ada", "") };
    let appends = [first, post("log:a", "second"), refer(Op::Edit, 1, "ada", "edited"), edit];
    let mut appended = Vec::new();
    for append in &appends {
        clock.advance(10);
        appended.push(asker.append(append));
    }
    asker.close();
    let mut asker = Asker::open(&mut *site, &clock);
    let raw: Vec<Publication> = appends.iter().zip(&appended).map(|(a, b)| entry(a, b)).collect();
    assert!(asker.log(&channel()).iter().map(|entry| &**entry).eq(&raw), "as they were stored");
    let page = read_folded(&mut asker, (1, 9), Direction::Forward, ALL);
    let fold = Fold { rev: Offset(4), reactions: Vec::new() };
    let edited = raw[0].folded(raw[3].payload.clone(), fold);
    assert!(page.entries.iter().map(|entry| &**entry).eq([&edited, &raw[1]]), "{:?}", page.entries);
    assert_eq!((page.covered, page.floor), ((Offset(1), Offset(4)), Offset(1)));
    asker.append(&refer(Op::Edit, 2, "ada", "edited too"));
    check_message(&mut asker, 2, "edited too", Some(5));
    asker.close();
}

/// What may not be said about a message is refused, in this order, and changes nothing.
pub fn references_are_refused_for_a_reason(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let nowhere = refer(Op::React, 1, "ada", "+1");
    assert_eq!(asker.try_append(&nowhere), refused(Refusal::NoTarget(Offset(1))));
    assert_eq!(asker.head(&channel(), ALL).position.offset, Offset::ZERO);
    asker.append(&post("log:a", "by ada"));
    asker.append(&Append { from: None, ..post("log:a", "the server's own") });
    asker.append(&refer(Op::React, 1, "eve", "+1"));
    let mut check = |append: Append, refusal| {
        assert_eq!(asker.try_append(&append), refused(refusal), "{append:?}");
    };
    for op in Op::ALL {
        for target in [0, 4, u64::MAX] {
            check(refer(*op, target, "ada", "+1"), Refusal::NoTarget(Offset(target)));
        }
        check(refer(*op, 3, "eve", "+1"), Refusal::TargetIsReference(Offset(3)));
    }
    for op in [Op::Edit, Op::Delete] {
        check(refer(op, 1, "eve", "x"), Refusal::NotAuthor(Offset(1)));
        check(Append { from: None, ..refer(op, 1, "", "x") }, Refusal::NotAuthor(Offset(1)));
        check(refer(op, 2, "ada", "x"), Refusal::NotAuthor(Offset(2)));
    }
    check(refer(Op::Unreact, 1, "ada", "+1"), Refusal::NoReaction(Offset(1)));
    check(refer(Op::Unreact, 1, "eve", "-1"), Refusal::NoReaction(Offset(1)));
    let conflict = Append { condition: Some(Offset(2)), ..refer(Op::Edit, 99, "eve", "x") };
    let newest = asker.head(&channel(), ALL).position;
    assert_eq!(asker.try_append(&conflict), refused(Refusal::Conflict(newest)));

    for (op, target) in [(Op::Edit, 1), (Op::Delete, 2)] {
        let moderated = Append { moderates: true, ..refer(op, target, "eve", "moderated") };
        asker.try_append(&moderated).expect("who moderates may");
    }
    check_message(&mut asker, 1, "moderated", Some(4));
    for op in Op::ALL {
        let late = Append { moderates: true, ..refer(*op, 2, "ada", "+1") };
        assert_eq!(asker.try_append(&late), refused(Refusal::TargetDeleted(Offset(2))));
    }
    assert_eq!(asker.head(&channel(), ALL).position.offset, Offset(5));
    asker.append(&map_entry("map:a", "a", "x"));
    let entry = Append { channel: name("map:a"), ..refer(Op::React, 1, "ada", "+1") };
    assert_eq!(asker.try_append(&entry), refused(Refusal::NoTarget(Offset(1))), "it is no message");
    asker.close();
}

/// A trimmed message is no target, and one that is left keeps what was said about it.
pub fn a_trimmed_message_is_no_target(new_site: NewSite<'_>) {
    let mut site = new_site();
    let retention = Retention { entries: Some(3), ..Retention::default() };
    let retentions: Retentions = [("log", retention)].into_iter().collect();
    let mut asker = Asker::open_keeping(&mut *site, &TestClock::new(), &retentions);
    let appends = [
        post("log:a", "first"),
        post("log:a", "second"),
        refer(Op::React, 1, "eve", "+1"),
        refer(Op::React, 2, "eve", "+1"),
    ];
    asker.append_all(&appends);
    super::trimming::wait_for_floor(&mut asker, &channel(), 2);
    for op in Op::ALL {
        let late = refer(*op, 1, "ada", "+1");
        assert_eq!(asker.try_append(&late), refused(Refusal::NoTarget(Offset(1))));
    }
    assert_eq!(reactions(&mut asker, 2), [("+1".to_owned(), 1)]);
    asker.append_all(&[post("log:a", "third"), post("log:a", "fourth")]);
    super::trimming::wait_for_floor(&mut asker, &channel(), 4);
    let page = read_folded(&mut asker, (1, 9), Direction::Forward, ALL);
    assert_eq!((offsets(&page.entries), page.covered), (vec![5, 6], (Offset(4), Offset(6))));
    asker.close();
}

/// A user gives a reaction once: again is a duplicate of the first, until it is taken back. Counts are of users.
pub fn a_reaction_is_given_once_by_each_user(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    asker.append(&post("log:a", "x"));
    let react = |author, value| refer(Op::React, 1, author, value);
    let first = asker.append(&react("ada", "+1"));
    asker.append(&react("eve", "heart"));
    clock.advance(1_000);
    let again = Append { key: keyed("log:a", "", "k").key, ..react("ada", "+1") };
    assert_eq!(asker.append(&again), Appended { duplicate: true, ..first });
    asker.append_all(&[react("eve", "+1"), react("bob", "heart"), react("bob", "+1"), react("bob", "+1")]);
    let anonymous = Append { from: None, ..react("", "+1") };
    assert!(!asker.append(&anonymous).duplicate, "nobody is not a user without a name");
    assert!(!asker.append(&react("", "+1")).duplicate);
    assert!(asker.append(&anonymous).duplicate);
    let told = |value: &str, count| (value.to_owned(), count);
    assert_eq!(reactions(&mut asker, 1), [told("+1", 5), told("heart", 2)]);
    asker.close();

    let mut asker = Asker::open(&mut *site, &clock);
    assert_eq!(asker.append(&react("ada", "+1")), Appended { duplicate: true, ..first });
    for author in ["ada", "eve", "bob"] {
        asker.append(&refer(Op::Unreact, 1, author, "+1"));
    }
    assert_eq!(reactions(&mut asker, 1), [told("+1", 2), told("heart", 2)]);
    let unreact = refer(Op::Unreact, 1, "ada", "+1");
    assert_eq!(asker.try_append(&unreact), refused(Refusal::NoReaction(Offset(1))));
    asker.append(&Append { from: None, ..unreact.clone() });
    asker.append(&refer(Op::Unreact, 1, "", "+1"));
    assert_eq!(reactions(&mut asker, 1), [told("heart", 2)]);
    let anew = asker.append(&react("ada", "+1"));
    assert!(!anew.duplicate && anew.position.offset > first.position.offset, "it was taken back");
    assert_eq!(reactions(&mut asker, 1), [told("heart", 2), told("+1", 1)], "it came anew");
    check_message(&mut asker, 1, "x", Some(anew.position.offset.0));
    asker.close();
}

/// A message has at most so many different reactions; one of those can still be given, and a free place be taken.
pub fn a_message_has_so_many_reactions_at_most(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    asker.append(&post("log:a", "x"));
    let all: Vec<Append> =
        (0..REACTIONS_MAX).map(|at| refer(Op::React, 1, "ada", &format!("{at}"))).collect();
    asker.append_all(&all);
    let more = refer(Op::React, 1, "ada", "more");
    assert_eq!(asker.try_append(&more), refused(Refusal::TooManyReactions(Offset(1))));
    assert!(asker.append(&refer(Op::React, 1, "ada", "7")).duplicate);
    asker.append(&refer(Op::React, 1, "eve", "7"));
    asker.append(&refer(Op::Unreact, 1, "ada", "7"));
    assert_eq!(asker.try_append(&more), refused(Refusal::TooManyReactions(Offset(1))), "eve's is left");
    asker.append(&refer(Op::Unreact, 1, "eve", "7"));
    assert!(asker.try_append(&more).is_ok());
    assert_eq!(reactions(&mut asker, 1).len(), REACTIONS_MAX);
    asker.close();
}

/// A deletion erases the message's payload and those of its edits in every read from then on, and takes its reactions
/// back; all else about the entries stays, and its neighbours are left alone.
pub fn a_deletion_erases_the_message_and_its_edits(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &clock);
    let appends = [
        keyed("log:a", "secret", "k"),
        post("log:a", "neighbour"),
        refer(Op::Edit, 1, "ada", "secret too"),
        refer(Op::Edit, 2, "ada", "edited neighbour"),
        refer(Op::React, 1, "eve", "+1"),
        Append { payload: Payload::new(Form::Json, &b"{}"[..]), ..refer(Op::Edit, 1, "ada", "") },
        Append { key: keyed("log:a", "", "d").key, ..refer(Op::Delete, 1, "ada", "why") },
    ];
    let appended: Vec<Appended> = appends.iter().map(|append| asker.append(append)).collect();
    let mut expected: Vec<Publication> = appends.iter().zip(&appended).map(|(a, b)| entry(a, b)).collect();
    for at in [0, 2, 5] {
        expected[at] = expected[at].erase();
    }
    for again in [false, true] {
        if again {
            asker.close();
            asker = Asker::open(&mut *site, &clock);
        }
        assert!(asker.log(&channel()).iter().map(|entry| &**entry).eq(&expected), "again: {again}");
        let tail = asker.head(&channel(), ALL).tail;
        assert!(tail.iter().map(|entry| &**entry).eq(&expected), "again: {again}");
        let fold = Fold { rev: Offset(7), reactions: Vec::new() };
        let deleted = message(&mut asker, 1);
        assert_eq!(*deleted, expected[0].folded(expected[0].payload.clone(), fold));
        assert!(deleted.erased && deleted.payload.bytes.is_empty());
        check_message(&mut asker, 2, "edited neighbour", Some(4));
        assert!(asker.append(&appends[6]).duplicate, "a repeat of the deletion");
    }
    asker.close();
}

/// What is erased no longer counts against the bytes of its namespace.
pub fn an_erased_payload_weighs_nothing(new_site: NewSite<'_>) {
    let mut site = new_site();
    let retentions: Retentions =
        [("log", Retention { bytes: Some(1_000), ..Retention::default() })].into_iter().collect();
    let mut asker = Asker::open_keeping(&mut *site, &TestClock::new(), &retentions);
    asker.append(&post("log:a", &"x".repeat(500)));
    asker.append(&refer(Op::Edit, 1, "ada", &"y".repeat(200)));
    asker.append(&refer(Op::Delete, 1, "ada", ""));
    // Three entries of 67 without a payload, and eight of 100: one byte too many.
    asker.append_all(&vec![post("log:a", &"z".repeat(33)); 8]);
    super::trimming::wait_for_floor(&mut asker, &channel(), 2);
    asker.append(&post("log:a", &"z".repeat(33)));
    super::trimming::wait_for_floor(&mut asker, &channel(), 3);
    assert_eq!(asker.log(&channel()).len(), 10);
    asker.close();
}

/// The window of a folded read counts messages; what is covered reaches to the next message that did not fit, and a read
/// does not go on for ever among references.
pub fn a_folded_read_says_what_it_covers(new_site: NewSite<'_>) {
    use Direction::{Backward, Forward};
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    // Messages at 1, 2, 5 and 26; references between them.
    let react = |target: u64, number: u64| refer(Op::React, target, &format!("user-{number}"), "+1");
    asker.append_all(&[post("log:a", "1"), post("log:a", "2"), react(1, 1), react(2, 1), post("log:a", "5")]);
    asker.append_all(&(0..20).map(|number| react(5, number)).collect::<Vec<_>>());
    asker.append(&post("log:a", "26"));
    asker.append(&react(26, 1));
    let mut check = |range, direction, entries, expect: &[u64], covered: (u64, u64)| {
        let window = Window { entries, bytes: usize::MAX };
        let page = read_folded(&mut asker, range, direction, window);
        let found = (offsets(&page.entries), (page.covered.0.0, page.covered.1.0));
        assert_eq!(found, (expect.to_vec(), covered), "{range:?} {direction:?} {entries}");
    };
    check((1, u64::MAX), Forward, 10, &[1, 2, 5, 26], (1, 27));
    check((1, u64::MAX), Backward, 10, &[1, 2, 5, 26], (1, 27));
    check((1, 27), Forward, 1, &[1], (1, 1));
    check((1, 27), Forward, 2, &[1, 2], (1, 4));
    check((3, 4), Forward, 2, &[], (3, 4));
    check((3, 4), Backward, 2, &[], (3, 4));
    check((0, 0), Forward, 2, &[], (1, 0));
    check((28, 40), Forward, 2, &[], (28, 27));
    let looks = FOLDED_LOOKS as u64;
    check((6, 27), Forward, 1, &[], (6, 5 + looks));
    check((5, 27), Forward, 1, &[5], (5, 4 + looks));
    check((1, 27), Backward, 1, &[26], (28 - looks, 27));
    check((1, 25), Backward, 1, &[], (26 - looks, 25));
    check((1, 25), Backward, 2, &[], (26 - 2 * looks, 25));
    check((1, 25), Backward, 3, &[1, 2, 5], (1, 25));
    check((1, 27), Backward, 0, &[26], (28 - looks, 27));

    // Bytes count as they are shown: each message costs 64, 3 for the author, its payload, and 18 for its reaction.
    asker.append(&refer(Op::Edit, 1, "ada", &"x".repeat(100)));
    let window = Window { entries: 10, bytes: (167 + 18) + (68 + 18) };
    let page = read_folded(&mut asker, (1, 27), Forward, window);
    assert_eq!((offsets(&page.entries), page.covered), (vec![1, 2], (Offset(1), Offset(4))));
    asker.close();
}
