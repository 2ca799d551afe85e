//! Streams that are mostly well formed, since noise fails with its first byte. Used by `main.rs`.

use trunkline_ws_proto::Role;

use crate::chance::Chance;

/// A stream as the reads that bring it.
pub(crate) type Pieces = Vec<Vec<u8>>;

/// What the peer of `role` sends.
pub(crate) fn any_stream(chance: &mut Chance, role: Role) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut inside = false;
    for _ in 0..chance.below(9) {
        let first = any_first(chance, &mut inside);
        let payload = any_payload(chance, first);
        stream.extend(frame(chance, role, first, &payload));
    }
    if chance.one_in(4) && !stream.is_empty() {
        let at = chance.below(stream.len());
        match chance.below(3) {
            0 => stream[at] ^= 1 << chance.below(8),
            1 => stream.truncate(at),
            _ => stream.insert(at, chance.next() as u8),
        }
    }
    stream
}

/// The first byte; mostly one that may come next.
fn any_first(chance: &mut Chance, inside: &mut bool) -> u8 {
    if chance.one_in(40) {
        return chance.next() as u8;
    }
    match chance.below(8) {
        0 => chance.pick(&[0x89, 0x8A]),
        1 if chance.one_in(2) => 0x88,
        2 | 3 if !*inside => {
            *inside = true;
            chance.pick(&[0x01, 0x02])
        }
        _ if *inside => {
            *inside = chance.one_in(2);
            if *inside { 0x00 } else { 0x80 }
        }
        _ => chance.pick(&[0x81, 0x82]),
    }
}

fn any_payload(chance: &mut Chance, first: u8) -> Vec<u8> {
    let big = chance.one_in(8);
    match first & 0x0F {
        0x8 => {
            let code: u16 = match chance.below(4) {
                0 => chance.next() as u16,
                1 => chance.pick(&[999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000]),
                _ => chance.pick(&[1000, 1001, 1011, 3000, 4999]),
            };
            let reason = if chance.one_in(6) { chance.bytes(20) } else { chance.text(20).into_bytes() };
            let mut payload = [&code.to_be_bytes(), &*reason].concat();
            payload.truncate(chance.pick(&[0, 1, 2, 123, 123, 123]));
            payload
        }
        0x9 | 0xA => chance.bytes(if big { 140 } else { 125 }),
        0x2 => chance.bytes(if big { 500 } else { 200 }),
        _ => {
            let mut text = chance.text(if big { 200 } else { 60 }).into_bytes();
            if chance.one_in(10) && !text.is_empty() {
                let at = chance.below(text.len());
                text[at] = chance.next() as u8;
            }
            if chance.one_in(4) {
                // Fragments may end inside a character; the next one seldom goes on with it.
                text.truncate(chance.below(text.len() + 1));
            }
            text
        }
    }
}

fn frame(chance: &mut Chance, role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let masks = (role == Role::Server) != chance.one_in(60);
    let bit = if masks { 0x80 } else { 0 };
    let long = chance.one_in(40);
    let mut frame = match payload.len() {
        len if long && chance.one_in(2) => [&[first, bit | 127][..], &(len as u64).to_be_bytes()].concat(),
        len if long || len > 125 => [&[first, bit | 126][..], &(len as u16).to_be_bytes()].concat(),
        len => vec![first, bit | len as u8],
    };
    let key = if masks { (chance.next() as u32).to_be_bytes() } else { [0; 4] };
    if masks {
        frame.extend_from_slice(&key);
    }
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The stream cut anywhere: whole, byte by byte, or at random.
pub(crate) fn pieces(chance: &mut Chance, stream: &[u8]) -> Pieces {
    let size_max = chance.pick(&[1, 7, 100, 10_000]);
    let mut rest = stream;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + chance.below(size_max)).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}
