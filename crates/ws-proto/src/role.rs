//! Which end of the line a connection is. Not a permission: only who masks and who must not.
//! Given to [`Connection::new`](crate::Connection::new) and [`Decoder::new`](crate::Decoder::new).

/// The end of the line that we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We accepted the handshake: peers mask their frames, we never do (RFC 6455 §5.1).
    Server,
    /// We asked for the handshake: we mask every frame, the peer never does.
    Client,
}
