//! The bounded queue between a socket and its senders: many put in, from any thread; the socket takes out. Not what is
//! in it, and not what happens when it is full, which is `sender.rs`. The model checker runs this file as it is
//! (`tests/loom`).
//!
//! Whoever waits has its waker in the queue, under the lock that also guards what it waits for. So no wake is lost, and
//! one that is dropped takes its waker with it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;

/// Places for items that an empty queue keeps.
const CAPACITY_KEPT_MAX: usize = 16;

/// What may wait. A queue that has reached either is full; so an item may pass `bytes_max` by its own size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) items_max: usize,
    pub(crate) bytes_max: usize,
}

/// Items of `T`, ended for the reason `E`.
#[derive(Debug)]
pub(crate) struct Queue<T, E> {
    state: Mutex<State<T, E>>,
    caps: Caps,
}

#[derive(Debug)]
struct State<T, E> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    ended: Option<E>,
    /// Items that made room for others.
    dropped: u64,
    taker: Option<Waker>,
    /// The taker has room for items; otherwise it only wants to know of the end.
    taker_has_room: bool,
    /// Who waits for room, in the order in which they came.
    waiting: BTreeMap<u64, Waker>,
    next_ticket: u64,
}

/// Why an item was not put in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<E> {
    Full,
    Ended(E),
}

/// The place of one who waits for room, held from one poll to the next.
#[derive(Debug, Default)]
pub(crate) struct Ticket(Option<u64>);

impl<T, E: Clone> Queue<T, E> {
    pub(crate) fn new(caps: Caps) -> Self {
        let state = State {
            items: VecDeque::new(),
            bytes: 0,
            ended: None,
            dropped: 0,
            taker: None,
            taker_has_room: false,
            waiting: BTreeMap::new(),
            next_ticket: 0,
        };
        Self { state: Mutex::new(state), caps }
    }

    /// Puts an item of `size` bytes in, if there is room.
    pub(crate) fn try_push(&self, item: T, size: usize) -> Result<(), Refused<E>> {
        self.change(|state, caps| state.push(item, size, caps))
    }

    /// Takes the item out of `item` as soon as there is room for it. One that gives up gives `ticket` to [`Queue::leave`].
    pub(crate) fn poll_push(
        &self,
        item: &mut Option<T>,
        size: usize,
        ticket: &mut Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), E>> {
        self.change(|state, caps| {
            if let Some(reason) = &state.ended {
                return Poll::Ready(Err(reason.clone()));
            }
            if state.is_full(caps) {
                let number = *ticket.0.get_or_insert_with(|| {
                    state.next_ticket += 1;
                    state.next_ticket
                });
                state.waiting.insert(number, cx.waker().clone());
                return Poll::Pending;
            }
            if let Some(item) = item.take() {
                state.items.push_back((item, size));
                state.bytes += size;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Nobody waits with this ticket any more.
    pub(crate) fn leave(&self, ticket: &Ticket) {
        if let Some(number) = ticket.0 {
            self.change(|state, _| state.waiting.remove(&number));
        }
    }

    /// Puts an item in, for which the oldest ones go where there is no room.
    pub(crate) fn push_over(&self, item: T, size: usize) -> Result<(), E> {
        self.change(|state, caps| {
            if let Some(reason) = &state.ended {
                return Err(reason.clone());
            }
            while state.is_full(caps) && state.pop().is_some() {
                state.dropped += 1;
            }
            state.items.push_back((item, size));
            state.bytes += size;
            Ok(())
        })
    }

    /// Puts the last item in, whether or not there is room; from now on others are told `reason`. `alone` drops what was
    /// put in before.
    pub(crate) fn push_last(&self, item: T, reason: E, alone: bool) -> Result<(), E> {
        self.change(|state, _| {
            if let Some(reason) = &state.ended {
                return Err(reason.clone());
            }
            if alone {
                state.items.clear();
                state.bytes = 0;
            }
            state.items.push_back((item, 0));
            state.ended = Some(reason);
            Ok(())
        })
    }

    /// Takes the oldest item. There is one taker: a waker replaces the one before.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<T> {
        self.change(|state, _| match state.pop() {
            Some(item) => Poll::Ready(item),
            None => {
                state.set_taker(true, cx);
                Poll::Pending
            }
        })
    }

    /// For a taker without room for items: ready once the queue has ended.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.change(|state, _| {
            if state.ended.is_some() {
                return Poll::Ready(());
            }
            state.set_taker(false, cx);
            Poll::Pending
        })
    }

    /// Drops what waits; from now on others are told `reason`, unless they were told another before.
    pub(crate) fn end(&self, reason: &E) {
        self.change(|state, _| {
            state.items = VecDeque::new();
            state.bytes = 0;
            state.ended.get_or_insert_with(|| reason.clone());
        });
    }

    /// Lets nothing more in; what waits stays.
    pub(crate) fn close(&self, reason: &E) {
        self.change(|state, _| {
            state.ended.get_or_insert_with(|| reason.clone());
        });
    }

    /// How many items made room for others so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    pub(crate) fn ended(&self) -> Option<E> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended.clone()
    }

    /// Runs `change` under the lock, then wakes whom it concerns: the taker if something came in, those who wait for room
    /// if something went out or the queue has ended.
    fn change<R>(&self, change: impl FnOnce(&mut State<T, E>, Caps) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut state, self.caps);
        let taker = if state.has_news() { state.taker.take() } else { None };
        let has_room = !state.is_full(self.caps) || state.ended.is_some();
        let waiting = if has_room { std::mem::take(&mut state.waiting) } else { BTreeMap::new() };
        drop(state);
        taker.into_iter().chain(waiting.into_values()).for_each(Waker::wake);
        result
    }
}

impl<T, E: Clone> State<T, E> {
    fn is_full(&self, caps: Caps) -> bool {
        self.items.len() >= caps.items_max.max(1) || self.bytes >= caps.bytes_max.max(1)
    }

    /// Whether the taker is to be woken.
    fn has_news(&self) -> bool {
        self.ended.is_some() || (self.taker_has_room && !self.items.is_empty())
    }

    /// An ended queue that is empty has nothing to wait for.
    fn set_taker(&mut self, has_room: bool, cx: &Context<'_>) {
        self.taker_has_room = has_room;
        if self.ended.is_none() {
            self.taker = Some(cx.waker().clone());
        }
    }

    fn push(&mut self, item: T, size: usize, caps: Caps) -> Result<(), Refused<E>> {
        if let Some(reason) = &self.ended {
            return Err(Refused::Ended(reason.clone()));
        }
        if self.is_full(caps) {
            return Err(Refused::Full);
        }
        self.items.push_back((item, size));
        self.bytes += size;
        Ok(())
    }

    fn pop(&mut self) -> Option<T> {
        let (item, size) = self.items.pop_front()?;
        self.bytes -= size;
        if self.items.is_empty() && self.items.capacity() > CAPACITY_KEPT_MAX {
            self.items = VecDeque::new();
        }
        Some(item)
    }
}
