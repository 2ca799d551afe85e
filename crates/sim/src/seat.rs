//! One connection of a simulated node: what waits to be read by its client, how much more its outbox takes, and whether
//! the hub asks for room before it gives more. Held by the node.

use std::collections::VecDeque;

use trunkline_backend::Window;
use trunkline_hub::SessionId;
use trunkline_model::{Recovery, Reply};

use crate::node::Heard;
use crate::violation::{Checked, Checker, ensure};

/// One connection.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) worker: u16,
    pub(crate) id: SessionId,
    pub(crate) open: bool,
    pub(crate) heard: VecDeque<Heard>,
    /// So many deliveries fit into the outbox until it has drained, and after that.
    pub(crate) room: usize,
    pub(crate) room_when_drained: usize,
    /// Deliveries that were handed out before it fell behind may still come.
    pub(crate) lagging: bool,
    /// Entries of a replay that are still to come.
    replay: usize,
    /// What was given of what it was behind since the outbox drained: entries and bytes.
    caught_up: (usize, usize),
}

impl Seat {
    pub(crate) fn new(worker: u16, id: SessionId) -> Self {
        Self {
            worker,
            id,
            open: true,
            heard: VecDeque::new(),
            room: usize::MAX,
            room_when_drained: usize::MAX,
            lagging: false,
            replay: 0,
            caught_up: (0, 0),
        }
    }

    /// The outbox has drained.
    pub(crate) fn drain(&mut self) {
        self.room = self.room_when_drained;
        self.gives_room();
    }

    /// The hub is told that there is room.
    pub(crate) fn gives_room(&mut self) {
        self.caught_up = (0, 0);
    }

    /// The node is gone, and the line with it.
    pub(crate) fn cut(&mut self) {
        self.open = false;
        self.heard.clear();
    }

    /// Puts into the outbox what is no broadcast. Of what the client is behind it may be one `page` each time the outbox
    /// has drained.
    pub(crate) fn hear(&mut self, heard: Heard, page: Window) -> Checked {
        let (mut entries, mut bytes) = self.caught_up;
        match &heard {
            Heard::Reply(Reply::Subscribed(subscribed)) => {
                if let Recovery::Recovered(entries) = &subscribed.recovery {
                    self.replay = entries.len();
                }
            }
            Heard::Message(_) if self.replay > 0 => self.replay -= 1,
            Heard::Message(publication) => {
                (entries, bytes) = (entries + 1, bytes + publication.cost());
                self.caught_up = (entries, bytes);
            }
            Heard::Reply(_) | Heard::Pushed(_) | Heard::Ready => {}
        }
        self.heard.push_back(heard);
        let one_page = entries <= page.entries as usize && (bytes <= page.bytes || entries <= 1);
        ensure(one_page, Checker::Caps, || {
            format!(
                "{entries} entries, {bytes} bytes are given to one that is behind, before there was room for them"
            )
        })
    }
}
