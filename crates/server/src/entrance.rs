//! What comes before HTTP on an accepted connection: a PROXY header, where balancers send one, and the TLS handshake. Both
//! together have one deadline. Who does not get through is closed, and a debug line says why.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use trunkline_node::{Full, Place, Places, Refusal, Refusals, Socket};

use crate::forwarded::Proxies;
use crate::line::{Line, Peer};
use crate::patient::Patient;
use crate::proxy_header;
use crate::tls::Tls;

/// The way in.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) tls: Option<Arc<Tls>>,
    /// Whether every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Who may connect then, and whose word on where requests come from counts.
    pub(crate) proxies: Proxies,
    /// Counts those whose address a PROXY header says; others are counted when they are accepted.
    pub(crate) addresses: Arc<Places<IpAddr>>,
    pub(crate) refusals: Arc<Refusals>,
    /// How long all of it may take.
    pub(crate) deadline: Duration,
    /// How long a client may take no byte of what it is answered.
    pub(crate) patience: Duration,
}

/// A connection that HTTP is spoken on.
pub(crate) struct Entered {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// Its place among those of its address, if it was counted here.
    pub(crate) place: Option<Place<IpAddr>>,
}

/// What HTTP is spoken through.
pub(crate) enum Stream {
    Plain(Patient),
    Tls(Box<TlsStream<Patient>>),
}

impl Entrance {
    /// What a connection hears before anything was read of it, if there is no place for it: it would take it for HTTP.
    pub(crate) fn speaks_plainly(&self) -> bool {
        self.tls.is_none()
    }

    /// Lets a connection in, or not.
    pub(crate) async fn enter(&self, socket: Socket, refusal: &[u8]) -> Option<Entered> {
        match tokio::time::timeout(self.deadline, self.try_enter(socket, refusal)).await {
            Ok(Ok(entered)) => entered,
            Ok(Err(error)) => {
                self.refusals.note(Refusal::Handshake);
                tracing::debug!(%error, "a connection ended before its first request");
                None
            }
            Err(_) => {
                self.refusals.note(Refusal::Handshake);
                tracing::debug!("a connection took too long to begin");
                None
            }
        }
    }

    async fn try_enter(&self, socket: Socket, refusal: &[u8]) -> io::Result<Option<Entered>> {
        let mut line = Line::new(socket)?;
        let mut peer = line.peer()?;
        let mut place = None;
        if self.proxy_protocol {
            if let Peer::Address(address) = peer
                && !self.proxies.trust(address)
            {
                self.refusals.note(Refusal::Proxy);
                return Ok(None);
            }
            if let Some(address) = proxy_header::read(&mut line).await? {
                peer = Peer::Address(address);
                let Ok(counted) = self.count(address) else {
                    self.refusals.note(Refusal::Address);
                    line.say(refusal);
                    return Ok(None);
                };
                place = counted;
            }
        }
        let patient = Patient::new(line, self.patience);
        let stream = match &self.tls {
            None => Stream::Plain(patient),
            Some(tls) => {
                let Some(accepted) = handshake(tls, patient).await? else { return Ok(None) };
                Stream::Tls(Box::new(accepted))
            }
        };
        Ok(Some(Entered { stream, peer, place }))
    }

    /// A place for one more connection of `address`, if those of it are counted.
    fn count(&self, address: IpAddr) -> Result<Option<Place<IpAddr>>, Full> {
        if self.proxies.trust(address) { Ok(None) } else { self.addresses.enter_from(address) }
    }
}

/// The handshake of TLS. An authority that looks whether a name leads here is shown that it does, and that is all.
async fn handshake(tls: &Tls, patient: Patient) -> io::Result<Option<TlsStream<Patient>>> {
    if !tls.challenges.are_there() {
        return TlsAcceptor::from(tls.current()).accept(patient).await.map(Some);
    }
    let begun = LazyConfigAcceptor::new(Acceptor::default(), patient).await?;
    let Some(challenge) = tls.challenges.find(&begun.client_hello()) else {
        return begun.into_stream(tls.current()).await.map(Some);
    };
    let mut shown = begun.into_stream(challenge).await?;
    tracing::debug!(name = shown.get_ref().1.server_name(), "somebody was shown that a name leads here");
    shown.shutdown().await?;
    Ok(None)
}
