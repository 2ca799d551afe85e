//! The benchmark as a tiny test, so that it cannot rot: every kind of traffic, a few messages, no clock.

use std::path::Path;

use trunkline_bench::options::{Chore, Options};
use trunkline_bench::roster::{self, Answer, Contestant};
use trunkline_bench::{echo, idle};

/// The floors and the library; the product is a build of its own.
fn ours() -> Vec<Contestant> {
    let programs = Path::new(env!("CARGO_BIN_EXE_epoll_echo")).parent().expect("it lies in a folder");
    roster::chosen(&Options::new(Chore::Echo), programs)
}

#[test]
fn every_message_comes_back() {
    let contestants: Vec<Contestant> = ours().into_iter().filter(|contestant| contestant.echoes).collect();
    assert_eq!(contestants.len(), 3, "two floors and the library");
    for contestant in contestants {
        let answered = echo::smoke(&contestant).expect(contestant.name);
        assert_eq!(answered, echo::smoke_messages(), "{}", contestant.name);
    }
}

#[test]
fn idle_connections_can_be_weighed() {
    for contestant in ours() {
        idle::smoke(&contestant).expect(contestant.name);
    }
}

#[test]
fn a_server_that_answers_something_else_is_noticed() {
    let mut contestant = ours().remove(0);
    contestant.answer = Answer::Message;
    let error = echo::smoke(&contestant).expect_err("it sends masked frames back");
    assert!(format!("{error:#}").contains("is not that message"), "{error:#}");
    contestant.program = "/bin/true".into();
    assert!(echo::smoke(&contestant).is_err(), "it is no server");
    let plain = ours().into_iter().find(|contestant| contestant.name == "trunkline-ws").expect("it is there");
    assert!(idle::smoke(&Contestant { deflate: true, ..plain }).is_err(), "it does not compress");
}
