//! A publication, or an update of presence, as the frame that a connection gets: one for all that speak the same protocol, and one more for those
//! of them that agreed on compression with the same window. Each is made at most once for the whole node, by the first
//! connection that needs it.

use bytes::Bytes;
use trunkline_dialect::{json, plain};
use trunkline_model::{Encoding, PresenceUpdate, Publication};
use trunkline_ws_proto::{DeflatePool, MessageKind, PreparedMessage};

use crate::connection::Protocol;

/// The frame for connections that speak `protocol`, compressed for `window_bits` if there are some and it helps.
pub(crate) fn frame<'p>(
    publication: &'p Publication,
    protocol: &Protocol,
    window_bits: Option<u8>,
    pool: &mut DeflatePool,
) -> &'p Bytes {
    let (encoding, encode): (_, fn(&Publication) -> Bytes) = match protocol {
        Protocol::Json => (Encoding::TrunklineV1, encode_json),
        Protocol::Plain(_) | Protocol::Echo => (Encoding::Plain, encode_plain),
    };
    let frame = publication.encoded(encoding, encode);
    // What is too small for it, as most are, keeps no note of that.
    let Some(window_bits) = window_bits.filter(|_| pool.is_worthwhile(frame.len())) else { return frame };
    let deflate = || pool.deflate_frame(frame, window_bits);
    publication.deflated(encoding, window_bits, deflate).unwrap_or(frame)
}

/// The frame for connections that speak `trunkline.v1`, likewise.
pub(crate) fn presence_frame<'p>(
    update: &'p PresenceUpdate,
    window_bits: Option<u8>,
    pool: &mut DeflatePool,
) -> &'p Bytes {
    let frame = update.encoded(|update| {
        let mut text = Vec::with_capacity(update.cost());
        json::encode_presence(update, &mut text);
        PreparedMessage::new(MessageKind::Text, &text).frame().clone()
    });
    let Some(window_bits) = window_bits.filter(|_| pool.is_worthwhile(frame.len())) else { return frame };
    update.deflated(window_bits, || pool.deflate_frame(frame, window_bits)).unwrap_or(frame)
}

fn encode_json(publication: &Publication) -> Bytes {
    let mut text = Vec::with_capacity(publication.cost() + 128);
    json::encode_message(publication, &mut text);
    PreparedMessage::new(MessageKind::Text, &text).frame().clone()
}

fn encode_plain(publication: &Publication) -> Bytes {
    let (binary, content) = plain::content(publication);
    let kind = if binary { MessageKind::Binary } else { MessageKind::Text };
    PreparedMessage::new(kind, content).frame().clone()
}

#[cfg(test)]
mod tests {
    use trunkline_model::{ChannelName, Form, Payload, Timestamp};
    use trunkline_ws_proto::DeflateOptions;

    use super::*;

    fn publication(text: impl Into<Bytes>) -> Publication {
        let channel = ChannelName::parse("chat:a").expect("a name");
        let payload = Payload { bytes: text.into(), form: Form::Text };
        Publication::new(channel, Timestamp(1), payload)
    }

    /// Two workers, each with its own pool, and many connections on each.
    #[test]
    fn a_publication_is_compressed_once_for_each_protocol_and_window() {
        let publication = publication("Hello ".repeat(100));
        let mut pools = [DeflatePool::default(), DeflatePool::default()];
        let room = Protocol::Plain(publication.channel.clone());
        let mut seen = Vec::new();
        for (protocol, window_bits, first_byte) in [
            (&Protocol::Json, None, 0x81),
            (&Protocol::Json, Some(15), 0xC1),
            (&Protocol::Json, Some(10), 0xC1),
            (&room, None, 0x81),
            (&room, Some(15), 0xC1),
        ] {
            let first = frame(&publication, protocol, window_bits, &mut pools[0]);
            assert_eq!(first[0], first_byte, "{protocol:?} {window_bits:?}");
            for pool in &mut pools {
                // The same bytes in the same place.
                let again = frame(&publication, protocol, window_bits, pool);
                assert_eq!(again.as_ptr(), first.as_ptr(), "{protocol:?} {window_bits:?}");
            }
            assert!(!seen.contains(&first.as_ptr()), "{protocol:?} {window_bits:?} has its own");
            seen.push(first.as_ptr());
        }
    }

    #[test]
    fn what_compression_does_not_help_is_shared_with_all_others() {
        let mut pool = DeflatePool::new(DeflateOptions { size_max: 10_000, ..DeflateOptions::default() });
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(2_000)
        .collect();
        let room = Protocol::Plain(ChannelName::parse("room:a").expect("a name"));
        let mut check = |what: &str, text: Bytes, deflated: bool| {
            let publication = publication(text);
            let plain = frame(&publication, &room, None, &mut pool).as_ptr();
            let frame = frame(&publication, &room, Some(15), &mut pool);
            assert_eq!((frame.as_ptr() != plain, frame[0] == 0xC1), (deflated, deflated), "{what}");
        };
        check("small", "x".repeat(200).into(), false);
        check("fitting", "x".repeat(300).into(), true);
        check("noise", noise.into(), false);
        check("large", "x".repeat(11_000).into(), false);
    }
}
