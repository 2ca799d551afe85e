//! The suite that every store must pass. A store's tests name a [`Site`] for it and expand
//! [`store_contract!`](crate::store_contract), which makes one test of each case.
//!
//! ```text
//!   trunkline_backend::store_contract!(MySite::new);   // in tests/contract.rs of the store's crate
//! ```
//!
//! It checks what the port promises, not how a store keeps it: offsets and order (`appending`), windows and
//! ranges (`reading`), idempotent keys (`keys`), epochs and closing (`lives`), several threads (`load`), and
//! a random run beside a model (`random_run`). What only some stores have (a lock, a full disk, a crash) is
//! for their own tests.

mod appending;
mod asker;
mod keys;
mod lives;
mod load;
mod model;
mod random_run;
mod reading;
mod test_clock;

pub use appending::{
    answers_keep_the_order_of_submission, offsets_are_dense, payloads_and_attributes_come_back_as_they_were,
    time_never_goes_back_in_a_channel,
};
pub use keys::{
    a_key_in_flight_is_stored_once, a_key_is_forgotten_after_its_window_and_not_before,
    a_key_is_scoped_by_channel_and_publisher, a_key_outlives_a_reopening,
    a_repeated_key_gives_the_first_place,
};
pub use lives::{
    an_entry_keeps_the_epoch_it_was_written_in, each_opening_begins_an_epoch,
    everything_is_answered_at_closing,
};
pub use load::{a_sink_may_submit_again, several_threads_append, what_was_answered_can_be_read};
pub use random_run::a_random_run_agrees_with_the_model;
pub use reading::{
    a_tail_fills_its_window, an_unknown_channel_is_empty_and_stays_unknown, ranges_fill_their_windows,
};
pub use test_clock::TestClock;

use crate::{Sink, Store};

/// Where one store under test lives, through all its openings.
pub trait Site {
    /// Opens the store. At first it is empty; later it holds what was stored at this site before. The case
    /// has dropped the store that it opened before.
    fn open(&mut self, clock: TestClock, sink: Sink) -> Box<dyn Store>;
}

/// Makes a new site, with an empty store.
pub type NewSite<'a> = &'a dyn Fn() -> Box<dyn Site>;

/// Makes one `#[test]` of each case of the suite; the argument is a function without arguments that gives a
/// new `Site`.
#[macro_export]
macro_rules! store_contract {
    ($new_site:expr) => {
        $crate::store_contract!($new_site;
            offsets_are_dense
            answers_keep_the_order_of_submission
            payloads_and_attributes_come_back_as_they_were
            time_never_goes_back_in_a_channel
            an_unknown_channel_is_empty_and_stays_unknown
            a_tail_fills_its_window
            ranges_fill_their_windows
            a_repeated_key_gives_the_first_place
            a_key_in_flight_is_stored_once
            a_key_is_scoped_by_channel_and_publisher
            a_key_is_forgotten_after_its_window_and_not_before
            a_key_outlives_a_reopening
            each_opening_begins_an_epoch
            an_entry_keeps_the_epoch_it_was_written_in
            everything_is_answered_at_closing
            what_was_answered_can_be_read
            several_threads_append
            a_sink_may_submit_again
            a_random_run_agrees_with_the_model
        );
    };
    ($new_site:expr; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            let new_site = $new_site;
            $crate::contract::$case(&|| ::std::boxed::Box::new(new_site()));
        })*
    };
}
