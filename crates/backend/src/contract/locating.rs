//! Cases: whether a position is a place in a log, and where the two part if it is not.

use trunkline_model::{Epoch, Offset, Position};

use super::asker::{Asker, name, post};
use super::{NewSite, TestClock};
use crate::{Append, Located};

/// No other store of a test has it.
const ELSEWHERE: Epoch = Epoch::NONE;

/// Of a channel that was never written to only the beginning is a place, whatever epoch it is asked under.
pub fn an_unknown_channel_has_no_place_but_its_beginning(new_site: NewSite<'_>) {
    let mut site = new_site();
    let mut asker = Asker::open(&mut *site, &TestClock::new());
    let unknown = name("log:unknown");
    for epoch in [asker.epoch(), ELSEWHERE] {
        let at = |offset| Position { epoch, offset: Offset(offset) };
        assert_eq!(asker.locate(&unknown, at(0)), Located::Held);
        assert_eq!(asker.locate(&unknown, at(1)), Located::Parted { keep: None });
    }
    assert_eq!(asker.head(&unknown, super::asker::ALL).position.epoch, asker.epoch());
    asker.close();
}

/// A position is held if the entry at its offset has its epoch. If not, both logs are the same up to the last entry of
/// the position's epoch that is here; if there is none, that cannot be told.
pub fn where_a_position_parts_from_the_log_is_told(new_site: NewSite<'_>) {
    let clock = TestClock::new();
    let mut site = new_site();
    let channel = name("log:a");
    let mut epochs = Vec::new();
    // Three lives of 3 entries each; in a fourth one the channel is not written to, another one is.
    for life in 0..4 {
        let mut asker = Asker::open(&mut *site, &clock);
        epochs.push(asker.epoch());
        let written = if life == 3 { "log:b" } else { "log:a" };
        let appends: Vec<Append> = (0..3).map(|at| post(written, &format!("{life}.{at}"))).collect();
        asker.append_all(&appends);
        asker.close();
    }
    epochs.push(ELSEWHERE);
    let mut asker = Asker::open(&mut *site, &clock);
    for (life, epoch) in epochs.iter().enumerate() {
        for offset in 0..12 {
            let position = Position { epoch: *epoch, offset: Offset(offset) };
            let expect = match life as u64 {
                _ if offset == 0 => Located::Held,
                life @ 0..3 if (life * 3 + 1..=life * 3 + 3).contains(&offset) => Located::Held,
                life @ 0..3 => Located::Parted { keep: Some(Offset((offset - 1).min(life * 3 + 3))) },
                _ => Located::Parted { keep: None },
            };
            assert_eq!(asker.locate(&channel, position), expect, "life {life}, offset {offset}");
        }
        let far = Position { epoch: *epoch, offset: Offset(u64::MAX) };
        let keep = (life < 3).then_some(Offset(life as u64 * 3 + 3));
        assert_eq!(asker.locate(&channel, far), Located::Parted { keep }, "life {life}");
    }
    asker.close();
}
