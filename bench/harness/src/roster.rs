//! Who takes part: floors, ours, peers. One table.

use std::path::{Path, PathBuf};

use crate::options::Options;

/// Which part a server plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It speaks no WebSocket; the first floor is what ratios are relative to.
    Floor,
    /// Ours.
    Ours,
    /// A library of somebody else.
    Peer,
}

/// What comes back for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The very bytes: the floors parse nothing.
    SameBytes,
    /// The message, in a frame as servers send them.
    Message,
}

/// A server that takes part.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// As reports call it.
    pub name: &'static str,
    /// Which part it plays.
    pub side: Side,
    /// The package whose version is reported.
    pub package: Option<&'static str>,
    /// Its binary.
    pub program: PathBuf,
    /// Its arguments; `{data}` becomes a folder of its own.
    pub arguments: &'static [&'static str],
    /// Where it echoes.
    pub path: &'static str,
    /// How it echoes.
    pub answer: Answer,
    /// Whether clients offer to compress.
    pub deflate: bool,
    /// Whether it takes part in what is measured by messages; what differs while idle only does not.
    pub echoes: bool,
}

/// (name, part, package, program, arguments, path, whether clients offer to compress)
type Row =
    (&'static str, Side, Option<&'static str>, &'static str, &'static [&'static str], &'static str, bool);

const TRUNKLINE: &str = "trunkline";

const ROWS: &[Row] = &[
    ("floor: epoll", Side::Floor, None, "epoll_echo", &[], "/", false),
    ("floor: tokio task", Side::Floor, None, "tokio_echo", &[], "/", false),
    ("trunkline-ws", Side::Ours, Some("trunkline-ws"), "trunkline_ws_echo", &[], "/", false),
    ("trunkline-ws, deflate", Side::Ours, Some("trunkline-ws"), "trunkline_ws_echo", &["deflate"], "/", true),
    (
        "trunkline dev /echo",
        Side::Ours,
        None,
        TRUNKLINE,
        &["dev", "--listen", "127.0.0.1:0", "--data", "{data}", "--workers", "1"],
        "/echo",
        false,
    ),
    ("tokio-tungstenite", Side::Peer, Some("tokio-tungstenite"), "tokio_tungstenite", &[], "/", false),
    (
        "tokio-tungstenite, batched",
        Side::Peer,
        Some("tokio-tungstenite"),
        "tokio_tungstenite",
        &["batched"],
        "/",
        false,
    ),
    ("fastwebsockets", Side::Peer, Some("fastwebsockets"), "fastwebsockets", &[], "/", false),
    ("tokio-websockets", Side::Peer, Some("tokio-websockets"), "tokio_websockets", &[], "/", false),
    (
        "tokio-websockets, batched",
        Side::Peer,
        Some("tokio-websockets"),
        "tokio_websockets",
        &["batched"],
        "/",
        false,
    ),
    ("sockudo-ws", Side::Peer, Some("sockudo-ws"), "sockudo_ws", &[], "/", false),
    ("sockudo-ws, batched", Side::Peer, Some("sockudo-ws"), "sockudo_ws", &["batched"], "/", false),
    ("yawc", Side::Peer, Some("yawc"), "yawc", &[], "/", false),
    ("yawc, batched", Side::Peer, Some("yawc"), "yawc", &["batched"], "/", false),
];

/// Those that were asked for, floors first. The programs of this workspace lie in `programs`.
pub fn chosen(options: &Options, programs: &Path) -> Vec<Contestant> {
    let rows = ROWS.iter().filter(|(name, side, ..)| match side {
        Side::Floor => true,
        Side::Ours => wanted(options, name),
        Side::Peer => options.peers && wanted(options, name),
    });
    rows.filter_map(|row| contestant(row, options, programs)).collect()
}

fn wanted(options: &Options, name: &str) -> bool {
    options.only.is_empty() || options.only.iter().any(|word| name.contains(word.as_str()))
}

fn contestant(row: &Row, options: &Options, programs: &Path) -> Option<Contestant> {
    let &(name, side, package, program, arguments, path, deflate) = row;
    let program = if program == TRUNKLINE { options.trunkline.clone()? } else { programs.join(program) };
    let answer = if side == Side::Floor { Answer::SameBytes } else { Answer::Message };
    Some(Contestant { name, side, package, program, arguments, path, answer, deflate, echoes: !deflate })
}
