//! The suite that every store must pass. A store's tests name a [`Site`] for it and expand
//! [`store_contract!`](crate::store_contract), which makes one test of each case.
//!
//! ```text
//!   trunkline_backend::store_contract!(MySite::new);   // in tests/contract.rs of the store's crate
//! ```
//!
//! It checks what the port promises, not how a store keeps it: offsets and order (`appending`), windows and
//! ranges (`reading`), idempotent keys (`keys`), epochs and closing (`lives`), positions (`locating`), retention
//! (`trimming`), conditions (`conditions`), the newest of each entry (`entries`), edits and
//! reactions (`references`), several threads (`load`), and a random run beside a model (`random_run`). What only some stores have (a lock, a full disk, a crash) is
//! for their own tests.

mod appending;
mod asker;
mod conditions;
mod entries;
mod keys;
mod lives;
mod load;
mod locating;
mod model;
mod random_run;
mod reading;
mod references;
mod test_clock;
mod trimming;

pub use appending::{
    answers_keep_the_order_of_submission, offsets_are_dense, payloads_and_attributes_come_back_as_they_were,
    time_never_goes_back_in_a_channel,
};
pub use conditions::{
    a_condition_is_about_the_newest_offset, a_condition_of_an_entry_is_about_that_entry,
    a_key_is_looked_at_before_the_condition, of_many_with_the_same_condition_one_is_stored,
};
pub use entries::{
    a_removal_is_remembered_for_a_while, attributes_of_an_entry_come_back, entries_are_not_trimmed,
    only_the_newest_of_each_entry_is_kept, overtaken_keys_answer_with_what_overtook_them,
    ranges_cover_what_was_replaced,
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
pub use locating::{
    an_unknown_channel_has_no_place_but_its_beginning, where_a_position_parts_from_the_log_is_told,
};
pub use random_run::a_random_run_agrees_with_the_model;
pub use reading::{
    a_tail_fills_its_window, an_unknown_channel_is_empty_and_stays_unknown, ranges_fill_their_windows,
};
pub use references::{
    a_deletion_erases_the_message_and_its_edits, a_folded_read_says_what_it_covers,
    a_message_has_so_many_reactions_at_most, a_page_shows_messages_as_they_were_edited,
    a_reaction_is_given_once_by_each_user, a_trimmed_message_is_no_target, an_erased_payload_weighs_nothing,
    references_are_refused_for_a_reason,
};
pub use test_clock::TestClock;
pub use trimming::{
    a_bound_that_changes_holds_for_what_was_stored_before, a_channel_is_trimmed_to_its_newest_entries,
    a_namespace_is_trimmed_to_its_bytes, entries_are_trimmed_when_they_are_old, keys_outlive_their_entries,
    positions_outlive_their_entries, what_is_trimmed_stays_away_after_a_reopening,
};

use crate::{Retentions, Sink, Store};

/// Where one store under test lives, through all its openings.
pub trait Site {
    /// Opens the store, which is to keep what `retentions` say. At first it is empty; later it holds what was stored
    /// at this site before. The case has dropped the store that it opened before.
    fn open(&mut self, clock: TestClock, sink: Sink, retentions: Retentions) -> Box<dyn Store>;
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
            an_unknown_channel_has_no_place_but_its_beginning
            where_a_position_parts_from_the_log_is_told
            a_channel_is_trimmed_to_its_newest_entries
            a_namespace_is_trimmed_to_its_bytes
            entries_are_trimmed_when_they_are_old
            a_bound_that_changes_holds_for_what_was_stored_before
            positions_outlive_their_entries
            keys_outlive_their_entries
            what_is_trimmed_stays_away_after_a_reopening
            a_condition_is_about_the_newest_offset
            of_many_with_the_same_condition_one_is_stored
            a_key_is_looked_at_before_the_condition
            a_condition_of_an_entry_is_about_that_entry
            only_the_newest_of_each_entry_is_kept
            ranges_cover_what_was_replaced
            attributes_of_an_entry_come_back
            a_removal_is_remembered_for_a_while
            entries_are_not_trimmed
            overtaken_keys_answer_with_what_overtook_them
            a_page_shows_messages_as_they_were_edited
            references_are_refused_for_a_reason
            a_trimmed_message_is_no_target
            a_reaction_is_given_once_by_each_user
            a_message_has_so_many_reactions_at_most
            a_deletion_erases_the_message_and_its_edits
            an_erased_payload_weighs_nothing
            a_folded_read_says_what_it_covers
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
