//! §5.2: opcodes, reserved bits, payload lengths in their shortest form, and the limits on them.

use trunkline_ws_proto::{Header, Limits, Opcode, ProtocolError, Role};

use crate::wire::{Event, binary, check, check_fails, check_fails_with, check_with, frame, masked};

#[test]
fn every_length_at_the_borders_of_its_forms() {
    for len in [0, 1, 125, 126, 127, 128, 0xFFFF, 0x1_0000, 0x1_0001] {
        let payload = vec![0xAB; len];
        let mut whole = crate::wire::Peer::server();
        whole.read(&masked(0x82, &payload));
        assert_eq!(whole.events, [binary(&payload)]);
        let header = Header::whole(Opcode::Binary, len);
        let expect = &frame(0x82, None, &payload)[..header.encode().len()];
        assert_eq!(&*header.encode(), expect, "{len}");
        let decoded = Header::decode(expect, Role::Client, false);
        assert_eq!(decoded, Ok(Some((header, expect.len()))));
    }
}

#[test]
fn lengths_that_have_a_shorter_form_are_refused() {
    let long = |form: u8, bytes: &[u8]| vec![[&[0x82, 0x80 | form], bytes, &[0; 4]].concat()];
    for len in [0u16, 1, 125] {
        check_fails(&long(126, &len.to_be_bytes()), ProtocolError::LengthNotMinimal);
    }
    for len in [0u64, 125, 126, 0xFFFF] {
        check_fails(&long(127, &len.to_be_bytes()), ProtocolError::LengthNotMinimal);
    }
}

#[test]
fn lengths_of_2_to_the_53_and_more() {
    let header = |len: u64| vec![[&[0x82, 0xFF][..], &len.to_be_bytes(), &[0; 4]].concat()];
    check_fails(&header(1 << 53), ProtocolError::FrameTooBig);
    check_fails(&header((1 << 63) - 1), ProtocolError::FrameTooBig);
    check_fails(&header(1 << 63), ProtocolError::LengthHighBit);
    check_fails(&header(u64::MAX), ProtocolError::LengthHighBit);
}

/// A limit of "none" still adds without overflow.
#[test]
fn no_limit_still_checks_the_sum() {
    let limits = Limits {
        message_size_max: usize::MAX,
        frame_size_max: usize::MAX,
        fragments_max: u32::MAX,
        ..Limits::default()
    };
    let huge = |first: u8, len: u64| [&[first, 0xFF][..], &len.to_be_bytes(), &[0; 4]].concat();
    check_with(Role::Server, &limits, &[huge(0x82, (1 << 63) - 1)], &[]);
}

#[test]
fn sizes_at_the_limits() {
    let limits = Limits { message_size_max: 300, frame_size_max: 200, fragments_max: 3, ..Limits::default() };
    let part = |first: u8, len: usize| masked(first, &vec![b'x'; len]);
    let message = |len: usize| binary(&vec![b'x'; len]);
    let check = |frames: &[Vec<u8>], expect: Event| {
        check_with(Role::Server, &limits, frames, std::slice::from_ref(&expect))
    };
    let check_fails = |frames: &[Vec<u8>], error| check_fails_with(Role::Server, &limits, frames, error);
    check(&[part(0x82, 200)], message(200));
    check_fails(&[part(0x82, 201)[..8].to_vec()], ProtocolError::FrameTooBig);
    check(&[part(0x02, 200), part(0x80, 100)], message(300));
    check_fails(&[part(0x02, 200), part(0x80, 101)], ProtocolError::MessageTooBig);
    check(&[part(0x02, 1), part(0x00, 1), part(0x80, 1)], message(3));
    check_fails(
        &[part(0x02, 0), part(0x00, 0), part(0x00, 0), part(0x80, 0)],
        ProtocolError::FragmentsTooMany,
    );
}

/// The limit holds for the message, wherever the fragments cross it.
#[test]
fn fragments_crossing_the_limit_at_every_boundary() {
    let limits = Limits { message_size_max: 8, ..Limits::default() };
    for first in 0..=8usize {
        for second in 0..=9 - first {
            let third = 9 - first - second;
            let part = |opcode: u8, len: usize| masked(opcode, &vec![1; len]);
            let frames = [part(0x02, first), part(0x00, second), part(0x80, third)];
            check_fails_with(Role::Server, &limits, &frames, ProtocolError::MessageTooBig);
        }
    }
}

#[test]
fn reserved_bits_and_opcodes() {
    for bit in [0x40, 0x20, 0x10, 0x70] {
        for first in [0x81, 0x82, 0x88, 0x89, 0x8A] {
            check_fails(&[masked(first | bit, b"")], ProtocolError::ReservedBits);
        }
    }
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        check_fails(&[masked(0x80 | opcode, b"")], ProtocolError::ReservedOpcode(opcode));
    }
    check(&[masked(0x82, b"")], &[binary(b"")]);
}

/// What the first byte gives away is refused with the first byte, and so on: nothing waits for the rest.
#[test]
fn refused_as_soon_as_it_is_known() {
    for (bytes, error) in [
        (&[0xC1][..], ProtocolError::ReservedBits),
        (&[0x83], ProtocolError::ReservedOpcode(3)),
        (&[0x09], ProtocolError::ControlFragmented),
        (&[0x81, 0x05], ProtocolError::MaskMissing),
        (&[0x89, 0xFE], ProtocolError::ControlTooLong),
        (&[0x82, 0xFE, 0, 125], ProtocolError::LengthNotMinimal),
    ] {
        check_fails(&[bytes.to_vec()], error);
    }
}
