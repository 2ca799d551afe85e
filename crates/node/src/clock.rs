//! The clocks of a node, read once per turn and handed on as arguments.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use trunkline_hub::Moment;
use trunkline_model::Timestamp;

/// When the node started; all uptimes count from here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Moment { ts: Timestamp(ms), uptime: self.started.elapsed() }
    }
}
