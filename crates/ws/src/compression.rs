//! Compression of messages (permessage-deflate, RFC 7692): what is asked for, and the thread's pool. Not how it works,
//! which is the core's. Used by the server, the client and the driver.

use std::cell::RefCell;

use trunkline_ws_proto::{DeflateOptions, DeflateParams, DeflatePool};

/// How messages are compressed, on lines where the other end agrees. Off unless it is given to
/// [`Server::compression`](crate::Server::compression) or [`Connect::compression`](crate::Connect::compression).
///
/// The default compresses each message by itself, with what the thread's sockets share, so that an idle socket costs
/// no more memory than without; a thread keeps up to 380 KB for each size of window in use. Context takeover is the
/// other choice: see [`DeflateParams`].
///
/// Do not compress what mixes secrets with what an attacker can choose: the size gives secrets away (CRIME, BREACH).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// What a client offers, or what a server asks for beyond what the client does.
    pub params: DeflateParams,
    /// The level, and the size from which on messages are compressed.
    pub options: DeflateOptions,
}

thread_local! {
    static POOL: RefCell<DeflatePool> = RefCell::default();
}

/// Runs `work` with this thread's compressors, set to `options`. Nothing in it may come back here.
pub(crate) fn with_pool<T>(options: DeflateOptions, work: impl FnOnce(&mut DeflatePool) -> T) -> T {
    POOL.with_borrow_mut(|pool| {
        pool.set_options(options);
        work(pool)
    })
}

/// What a handshake agreed on, and how we compress then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    pub(crate) params: DeflateParams,
    pub(crate) options: DeflateOptions,
}

impl Agreed {
    /// `None` where one of the two ends does not want it.
    pub(crate) fn new(params: Option<DeflateParams>, compression: Option<Compression>) -> Option<Self> {
        Some(Self { params: params?, options: compression?.options })
    }
}
