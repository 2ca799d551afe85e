//! Masking keys as they go onto the wire: whoever can tell the next one can write what a proxy reads (RFC 6455 §10.3).

use std::collections::HashSet;

use tokio::io::AsyncReadExt;
use trunkline_ws::{Limits, Role};

use crate::raw::{close, pair};

/// The keys of `count` frames of one byte, of a socket of its own.
async fn keys(count: usize) -> Vec<u32> {
    let (mut socket, mut raw) = pair(Role::Client, 1 << 20, Limits::default());
    let mut keys = Vec::new();
    for n in 0..count {
        let mut frame = [0; 7];
        if n % 3 == 0 {
            raw.write(0x89, b"p").await;
            raw.write(0x81, b"").await;
            socket.recv().await.expect("open");
            socket.flush().await.expect("open");
            raw.stream.read_exact(&mut frame).await.expect("a pong");
            assert_eq!(frame[..2], [0x8A, 0x81]);
        } else {
            socket.send(vec![n as u8]).await.expect("open");
            raw.stream.read_exact(&mut frame).await.expect("a message");
            assert_eq!(frame[..2], [0x82, 0x81]);
            assert_eq!(frame[6] ^ frame[2], n as u8, "the key is the one that masks");
        }
        keys.push(u32::from_be_bytes([frame[2], frame[3], frame[4], frame[5]]));
    }
    raw.write(0x88, &close(1000, "")).await;
    keys
}

#[tokio::test]
async fn t29_no_key_comes_twice_and_none_can_be_told() {
    let (one, other) = (keys(1_000).await, keys(1_000).await);
    let all: HashSet<u32> = one.iter().chain(&other).copied().collect();
    // Two of two thousand keys are equal once in 2,000 runs; four pairs never.
    assert!(all.len() > 1_996, "{} different keys of 2,000", all.len());
    for keys in [&one, &other] {
        assert!(!keys.contains(&0), "no key of zeros, which is none");
        let (ones, zeros) = keys.iter().fold((0, 0), |(ones, zeros), key| (ones | key, zeros | !key));
        assert_eq!((ones, zeros), (u32::MAX, u32::MAX), "no bit stands still");
        let steps: HashSet<u32> = keys.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert!(steps.len() > 990, "no counter: {} different steps", steps.len());
        let flips: HashSet<u32> = keys.windows(2).map(|pair| pair[1] ^ pair[0]).collect();
        assert!(flips.len() > 990, "{} different flips", flips.len());
    }
}
