//! Which connection of a session is its newest. Kept by the worker that the session's public id hashes to; a session is
//! there from its `welcome`, with which another connection can take it up, to the end of its newest connection.
//!
//! ```text
//!   new connection's worker ──Begins──▶ keeper ──Replaces──▶ new connection's worker ──Replace──▶ older one's worker
//! ```

use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use trunkline_model::{ClientId, close};

use crate::output::Output;
use crate::peer::{LineAsk, LineQuestion, Tell};
use crate::presence::Seat;
use crate::shard::Context;

/// The sessions that this worker keeps the newest connection of.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    newest: HashMap<ClientId, Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    seat: Seat,
    /// The uptime at which it was opened. What is told of two connections may come in another order.
    since: Duration,
}

impl Lines {
    /// Answers what is asked of a session kept here, or of a connection here that is to end.
    pub(crate) fn handle(&mut self, ask: LineAsk, cx: &mut Context<'_>) {
        let LineAsk { worker, session, question } = ask;
        let seat = Seat { worker, session };
        let tell = match question {
            LineQuestion::Begins { client, since } => self.begin(client, Line { seat, since }),
            LineQuestion::Ends(client) => {
                if self.newest.get(&client).is_some_and(|line| line.seat == seat) {
                    self.newest.remove(&client);
                }
                Tell::Left
            }
            LineQuestion::Replace(older) => {
                cx.out.push(Output::Close { session: older, reason: close::REPLACED });
                Tell::Left
            }
        };
        cx.peers.tell(worker, tell, cx.out);
    }

    fn begin(&mut self, client: ClientId, line: Line) -> Tell {
        let session = line.seat.session;
        match self.newest.entry(client) {
            Entry::Occupied(known) if known.get().since > line.since => Tell::Replaced { session },
            Entry::Occupied(mut known) => {
                let Seat { worker, session: older } = known.insert(line).seat;
                Tell::Replaces { session, worker, older }
            }
            Entry::Vacant(unknown) => {
                unknown.insert(line);
                Tell::Left
            }
        }
    }
}
