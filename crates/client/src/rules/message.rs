//! A publication as the application gets it: as it came over the wire, and, where it comes out of a timeline, with its
//! epoch, as far as that is known: always, but for the older part of a page that spans several epochs.

pub use trunkline_dialect::json::client::Message;
