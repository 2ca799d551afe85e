//! Cases: several threads at once, and reads right behind appends.

use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock, Weak};

use hashbrown::HashMap;
use trunkline_model::{ChannelName, Offset};

use super::asker::{ALL, Asker, STUCK, entry, is_stored, name, post, sink};
use super::random_run::Random;
use super::{NewSite, TestClock};
use crate::{Answer, Append, Direction, Request, Retentions, Sink, Store, Ticket, Window};

const THREADS: u16 = 4;
const APPENDS_PER_THREAD: u64 = 2_500;
const CHANNELS: u64 = 100;

/// 10,000 appends to 100 channels by four threads: dense offsets, answered in the order of the log, and each
/// thread's own in the order in which it submitted them.
pub fn several_threads_append(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let (sender, answers) = channel();
    let store = site.open(clock.clone(), sink(sender), Retentions::default());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &*store;
            scope.spawn(move || submit_all(store, thread));
        }
    });
    drop(store);
    let answers: Vec<Answer> = answers.iter().collect();
    assert_eq!(answers.len() as u64, u64::from(THREADS) * APPENDS_PER_THREAD);

    let plans: Vec<Vec<Append>> = (0..THREADS).map(plan).collect();
    let mut logs: HashMap<ChannelName, Vec<&Append>> = HashMap::new();
    let mut last_of_thread: HashMap<(u16, &ChannelName), u64> = HashMap::new();
    for answer in &answers {
        let Ticket { worker, number } = answer.ticket();
        let append = &plans[usize::from(worker)][number as usize];
        let appended = is_stored(answer).expect("nothing hinders it");
        let log = logs.entry(append.channel.clone()).or_default();
        log.push(append);
        assert_eq!(
            appended.position.offset,
            Offset(log.len() as u64),
            "{}: answered out of order",
            append.channel
        );
        let before = last_of_thread.insert((worker, &append.channel), number);
        assert!(before.is_none_or(|before| before < number), "thread {worker}: stored out of order");
    }
    let mut asker = Asker::open(&mut *site, &clock);
    for (channel, appends) in &logs {
        let stored = asker.log(channel);
        assert_eq!(stored.len(), appends.len());
        assert!(
            stored.iter().zip(appends).all(|(entry, append)| entry.payload == append.payload),
            "{channel}"
        );
    }
    asker.close();
}

fn submit_all(store: &dyn Store, thread: u16) {
    let mut random = Random::new(u64::from(thread));
    let mut rest = &plan(thread)[..];
    let mut number = 0;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(rest.len().min(random.below(20) as usize + 1));
        let ticket = |at| Ticket { worker: thread, number: number + at };
        let request = |(at, append): (u64, &Append)| Request::Append(ticket(at), append.clone());
        store.submit((0..).zip(batch).map(request).collect());
        number += batch.len() as u64;
        rest = later;
    }
}

/// What a thread appends: always the same.
fn plan(thread: u16) -> Vec<Append> {
    let mut random = Random::new(u64::from(thread) + 1_000);
    (0..APPENDS_PER_THREAD)
        .map(|number| post(&format!("log:{}", random.below(CHANNELS)), &format!("{thread}.{number}")))
        .collect()
}

/// A head or read that is submitted after an append was answered shows its entry.
pub fn what_was_answered_can_be_read(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let channel = name("log:a");
    for round in 1..=300_u64 {
        let append = post("log:a", &format!("{round}"));
        let appended = asker.append(&append);
        let head = asker.head(&channel, Window { entries: 1, bytes: 0 });
        assert_eq!(head.position, appended.position, "round {round}");
        assert_eq!(*head.tail[0], entry(&append, &appended));
        let read = asker.read(&channel, (round, round), Direction::Forward, ALL);
        assert_eq!(read.len(), 1, "round {round}");
        assert_eq!(*read[0], entry(&append, &appended));
    }
    asker.close();
}

/// A sink may submit: a chain of appends, each submitted by the sink that takes the answer to the one before.
pub fn a_sink_may_submit_again(new_site: NewSite<'_>) {
    const CHAIN: u64 = 200;
    let mut site = new_site();
    let (sender, told) = channel();
    let itself: Arc<OnceLock<Weak<dyn Store>>> = Arc::default();
    let sink: Sink = {
        let itself = Arc::clone(&itself);
        Arc::new(move |answers: Vec<Answer>| {
            for answer in answers {
                let Ticket { worker, number } = answer.ticket();
                let _ = sender.send(answer); // nobody listens once the test has failed
                let store = itself.get().and_then(Weak::upgrade);
                if let (true, Some(store)) = (number < CHAIN, store) {
                    let next = Ticket { worker, number: number + 1 };
                    store.submit(vec![Request::Append(next, post("log:a", "x"))]);
                }
            }
        })
    };
    let store: Arc<dyn Store> = Arc::from(site.open(TestClock::new(), sink, Retentions::default()));
    itself.set(Arc::downgrade(&store)).expect("it is set once");
    store.submit(vec![Request::Append(Ticket { worker: 1, number: 1 }, post("log:a", "x"))]);
    let offsets: Vec<u64> = (0..CHAIN)
        .map(|_| told.recv_timeout(STUCK).expect("the chain goes on"))
        .map(|answer| is_stored(&answer).expect("nothing hinders it").position.offset.0)
        .collect();
    assert!(offsets.into_iter().eq(1..=CHAIN));
}
