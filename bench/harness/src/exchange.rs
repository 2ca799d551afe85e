//! What goes to the server in one write, and what comes back: frames of RFC 6455 §5.2, prepared once.

use crate::roster::Answer;

/// A real key: one of zeros would spare a server its work.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const BINARY: u8 = 0x82;

/// The bytes of both directions.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// One message as a client sends it.
    message: Vec<u8>,
    /// All messages that are in flight together.
    pub batch: Vec<u8>,
    /// The answer to one message.
    pub answer: Vec<u8>,
    /// How many messages are in flight together.
    pub in_flight: usize,
}

impl Exchange {
    /// Messages of `size` bytes, `in_flight` at a time.
    pub fn new(size: usize, in_flight: usize, answer: Answer) -> Self {
        let payload: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        let mut message = header(size, true);
        message.extend(MASK);
        message.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        let answer = match answer {
            Answer::SameBytes => message.clone(),
            Answer::Message => [header(size, false), payload].concat(),
        };
        Self { batch: message.repeat(in_flight), message, answer, in_flight }
    }

    /// One message as a client sends it.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// How many bytes answer a whole batch.
    pub fn answers_size(&self) -> usize {
        self.answer.len() * self.in_flight
    }
}

fn header(size: usize, masked: bool) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    match (u8::try_from(size), u16::try_from(size)) {
        (Ok(small @ ..126), _) => vec![BINARY, mask_bit | small],
        (_, Ok(medium)) => [&[BINARY, mask_bit | 126][..], &medium.to_be_bytes()].concat(),
        _ => [&[BINARY, mask_bit | 127][..], &(size as u64).to_be_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_rfc() {
        let cases = [(20, 2), (125, 2), (126, 4), (1024, 4), (65_535, 4), (65_536, 10)];
        for (size, head) in cases {
            let exchange = Exchange::new(size, 3, Answer::Message);
            assert_eq!(exchange.answer.len(), head + size, "{size}");
            assert_eq!(exchange.message().len(), head + 4 + size, "{size}");
            assert_eq!(exchange.batch.len(), 3 * (head + 4 + size), "{size}");
            let unmasked: Vec<u8> =
                exchange.message()[head + 4..].iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b).collect();
            assert_eq!(unmasked, exchange.answer[head..], "{size}");
        }
        assert_eq!(Exchange::new(20, 1, Answer::SameBytes).answer[..2], [0x82, 0x80 | 20]);
        assert_eq!(Exchange::new(300, 1, Answer::Message).answer[..4], [0x82, 126, 1, 44]);
    }
}
