//! How many connections each address has, so that one cannot take the places of all others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses that have connections. Of IPv6 the first 64 bits count: who has one address there has that many.
#[derive(Debug)]
pub struct Addresses {
    max: AtomicUsize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    /// Each may have so many connections.
    #[must_use]
    pub fn up_to(max: usize) -> Self {
        Self { max: AtomicUsize::new(max), held: Mutex::default() }
    }

    /// From now on each may have so many. Who has more keeps them.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// One more connection of `address`; `None` if it has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = network_of(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_default();
        if *count >= self.max.load(Ordering::Relaxed) {
            return None;
        }
        *count += 1;
        Some(Place { addresses: Arc::clone(self), address })
    }
}

/// One connection of an address, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.addresses.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_so_many_places_and_gives_them_back() {
        let addresses = Arc::new(Addresses::up_to(2));
        let enter = |address: &str| addresses.enter(address.parse().expect("an address"));
        let first = enter("10.0.0.1");
        let second = enter("::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some(), "the same address, however it is written");
        assert!(enter("10.0.0.1").is_none());
        assert!(enter("10.0.0.2").is_some());
        drop(second);
        let third = enter("10.0.0.1");
        assert!(third.is_some() && enter("10.0.0.1").is_none());
        drop((first, third));
        let networks = [enter("2001:db8:0:1::1"), enter("2001:db8:0:1:ffff::2")];
        assert!(networks.iter().all(Option::is_some));
        assert!(enter("2001:db8:0:1::3").is_none());
        assert!(enter("2001:db8:0:2::3").is_some());
        drop(networks);
        assert!(addresses.held.lock().expect("nobody panics").is_empty(), "nothing is kept of who is gone");
    }
}
