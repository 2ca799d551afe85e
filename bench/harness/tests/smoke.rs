//! The benchmark as a tiny test, so that it cannot rot: every kind of traffic, a few messages, no clock.

use std::path::Path;

use trunkline_bench::echo::{smoke, smoke_messages};
use trunkline_bench::roster::Answer;

const FLOOR: &str = env!("CARGO_BIN_EXE_epoll_echo");
const TOKIO_FLOOR: &str = env!("CARGO_BIN_EXE_tokio_echo");
const OURS: &str = env!("CARGO_BIN_EXE_trunkline_ws_echo");

#[test]
fn every_message_comes_back() {
    let servers = [(FLOOR, Answer::SameBytes), (TOKIO_FLOOR, Answer::SameBytes), (OURS, Answer::Message)];
    for (program, answer) in servers {
        let answered = smoke(Path::new(program), &[], answer).expect(program);
        assert_eq!(answered, smoke_messages(), "{program}");
    }
}

#[test]
fn a_server_that_answers_something_else_is_noticed() {
    let error = smoke(Path::new(FLOOR), &[], Answer::Message).expect_err("it sends masked frames back");
    assert!(format!("{error:#}").contains("is not that message"), "{error:#}");
    assert!(smoke(Path::new("/bin/true"), &[], Answer::Message).is_err(), "it is no server");
}
