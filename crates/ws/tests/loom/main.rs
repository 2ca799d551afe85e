//! T26: the queue between a socket and its senders under every interleaving of the threads that use it. The file under
//! test is the library's own, with the model checker's lock in the place of the standard library's. Each model ends only
//! if no wake is lost; what it finds wrong otherwise it asserts.

#[path = "../../src/queue.rs"]
#[expect(dead_code, reason = "the models use a part of it")]
mod queue;

mod sync {
    pub(crate) use loom::sync::Mutex;
}

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;

use queue::{Caps, Queue, Refused, Ticket};

/// What the queue under test is.
type Numbers = Queue<u32, &'static str>;

/// With three threads not every interleaving, but all in which at most two of the switches between them are forced.
fn model_of_three(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn queue(items_max: usize) -> Arc<Numbers> {
    Arc::new(Queue::new(Caps { items_max, bytes_max: usize::MAX }))
}

/// Waits for room, and says whether the item went in.
fn push(queue: &Numbers, item: u32) -> Result<(), &'static str> {
    let (mut item, mut ticket) = (Some(item), Ticket::default());
    block_on(poll_fn(|cx| queue.poll_push(&mut item, 1, &mut ticket, cx)))
}

fn pop(queue: &Numbers) -> u32 {
    block_on(poll_fn(|cx| queue.poll_pop(cx)))
}

#[test]
fn t26_two_senders_and_a_full_queue() {
    model_of_three(|| {
        let queue = queue(1);
        let senders: Vec<_> = [10, 20]
            .into_iter()
            .map(|item| {
                let queue = queue.clone();
                thread::spawn(move || push(&queue, item).expect("open"))
            })
            .collect();
        let mut popped = [pop(&queue), pop(&queue)];
        popped.sort_unstable();
        assert_eq!(popped, [10, 20]);
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
    });
}

#[test]
fn t26_one_sender_keeps_its_order() {
    loom::model(|| {
        let queue = queue(1);
        let sender = {
            let queue = queue.clone();
            thread::spawn(move || (1..=3).for_each(|item| push(&queue, item).expect("open")))
        };
        assert_eq!([pop(&queue), pop(&queue), pop(&queue)], [1, 2, 3]);
        sender.join().expect("no panic");
    });
}

/// One waits and gives up, as a `select!` does; the other must not wait for ever because of it.
#[test]
fn t26_a_sender_that_gives_up_takes_no_wake_with_it() {
    model_of_three(|| {
        let queue = queue(1);
        queue.try_push(1, 1).expect("room");
        let gives_up = {
            let queue = queue.clone();
            thread::spawn(move || {
                let (mut item, mut ticket) = (Some(2), Ticket::default());
                let mut cx = Context::from_waker(Waker::noop());
                let polled = queue.poll_push(&mut item, 1, &mut ticket, &mut cx);
                queue.leave(&ticket);
                polled == Poll::Ready(Ok(()))
            })
        };
        let stays = {
            let queue = queue.clone();
            thread::spawn(move || push(&queue, 3).expect("open"))
        };
        assert_eq!(pop(&queue), 1);
        let mut rest = vec![pop(&queue)];
        if gives_up.join().expect("no panic") {
            rest.push(pop(&queue));
        }
        stays.join().expect("no panic");
        rest.sort_unstable();
        assert!(rest == [3] || rest == [2, 3], "{rest:?}");
    });
}

/// Whether what waits is dropped with it or not.
#[test]
fn t26_the_end_reaches_who_waits_for_room() {
    for end in [Numbers::end, Numbers::close] {
        loom::model(move || {
            let queue = queue(1);
            queue.try_push(1, 1).expect("room");
            let sender = {
                let queue = queue.clone();
                thread::spawn(move || push(&queue, 2))
            };
            end(&queue, &"gone");
            assert_eq!(sender.join().expect("no panic"), Err("gone"));
            assert_eq!(queue.try_push(3, 1), Err(Refused::Ended("gone")));
        });
    }
}

/// A socket that has no room for messages still learns that a sender has closed.
#[test]
fn t26_the_end_reaches_a_taker_without_room() {
    loom::model(|| {
        let queue = queue(2);
        let sender = {
            let queue = queue.clone();
            thread::spawn(move || {
                queue.try_push(1, 1).expect("room");
                queue.push_last(2, "closed", false).expect("open");
            })
        };
        block_on(poll_fn(|cx| queue.poll_ended(cx)));
        assert_eq!([pop(&queue), pop(&queue)], [1, 2]);
        sender.join().expect("no panic");
    });
}

/// The newest always gets in, and what is counted as dropped is what is missing.
#[test]
fn t26_the_oldest_make_room() {
    loom::model(|| {
        let queue = queue(1);
        let sender = {
            let queue = queue.clone();
            thread::spawn(move || (1..=3).for_each(|item| queue.push_over(item, 1).expect("open")))
        };
        let mut popped = vec![pop(&queue)];
        sender.join().expect("no panic");
        while popped.last() != Some(&3) {
            popped.push(pop(&queue));
        }
        assert!(popped.is_sorted());
        assert_eq!(queue.dropped(), 3 - popped.len() as u64);
    });
}
