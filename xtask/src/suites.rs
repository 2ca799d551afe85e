//! The suites, in the order in which they run: the quick and cheap first, then those that build on what the
//! earlier ones have built.

mod autobahn;
mod bench;
mod browser;
mod clippy;
mod doc;
mod fmt;
mod rust;
mod sdk;
mod tidy;
mod ui;

use crate::suite::Suite;

/// All of them.
pub const ALL: &[Suite] = &[
    fmt::SUITE,
    tidy::SUITE,
    clippy::SUITE,
    doc::SUITE,
    rust::SUITE,
    bench::SUITE,
    ui::SUITE,
    sdk::SUITE,
    browser::SUITE,
    autobahn::SUITE,
];
