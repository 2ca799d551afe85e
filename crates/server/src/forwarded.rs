//! Where a request comes from: the address of its connection, or what a proxy that is trusted says of it.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::line::Peer;

/// What proxies say where a request comes from: the addresses on its way, the nearest last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies whose word counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<IpAddr>);

impl Proxies {
    pub(crate) fn new(addresses: Vec<IpAddr>) -> Self {
        Self(addresses)
    }

    /// Whether this is the address of one of them.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Where a request comes from that came by a connection of `peer`: the nearest address that is not a proxy's. `None` if
    /// a proxy does not say, or what it says is no address.
    pub(crate) fn origin_of(&self, peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
        if let Peer::Address(peer) = peer
            && !self.trust(peer)
        {
            return Some(peer.to_canonical());
        }
        let said = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let way: Vec<&str> = said.flat_map(|list| list.split(',')).map(str::trim).collect();
        // What stands further away than the first stranger, that stranger may have written.
        let nearest = way.iter().rev().map(|text| address(text)).find(|address| match address {
            Some(address) => !self.0.contains(address),
            None => true,
        });
        nearest.flatten()
    }
}

/// `10.0.0.1`, `2001:db8::1`, `[2001:db8::1]:443`, `10.0.0.1:443`
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proxies_may_say_where_a_request_comes_from() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let proxies = Proxies::new(vec![ip("127.0.0.1"), ip("10.0.0.1")]);
        let check = |peer: &str, said: &[&str], expect: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(FORWARDED_FOR, value.parse().expect("a value"));
            }
            let peer = if peer.is_empty() { Peer::Local } else { Peer::Address(ip(peer)) };
            assert_eq!(proxies.origin_of(peer, &headers), expect.map(ip), "{peer:?} {said:?}");
        };
        check("192.0.2.1", &[], Some("192.0.2.1"));
        check("192.0.2.1", &["198.51.100.1"], Some("192.0.2.1"));
        check("127.0.0.1", &["198.51.100.1"], Some("198.51.100.1"));
        check("::ffff:127.0.0.1", &["198.51.100.1"], Some("198.51.100.1"));
        check("127.0.0.1", &["198.51.100.1, 10.0.0.1"], Some("198.51.100.1"));
        check("127.0.0.1", &["198.51.100.1", "10.0.0.1"], Some("198.51.100.1"));
        // A client may write what it likes before the proxy adds what it knows.
        check("127.0.0.1", &["203.0.113.9, 198.51.100.1"], Some("198.51.100.1"));
        check("127.0.0.1", &["[2001:db8::1]:443"], Some("2001:db8::1"));
        check("127.0.0.1", &["198.51.100.1:55555"], Some("198.51.100.1"));
        // Who comes by a file is a proxy of this machine.
        check("", &["198.51.100.1"], Some("198.51.100.1"));
        check("", &["203.0.113.9, 198.51.100.1"], Some("198.51.100.1"));
        check("", &[], None);
        check("127.0.0.1", &[], None);
        check("127.0.0.1", &["unknown"], None);
        check("127.0.0.1", &["10.0.0.1"], None);
        check("127.0.0.1", &["198.51.100.1, nonsense"], None);
    }
}
