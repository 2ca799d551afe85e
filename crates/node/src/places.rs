//! How many connections each address, and each user, has, so that one cannot take the places of all others.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections each of some has, and how many it may have.
#[derive(Debug)]
pub struct Places<K: Eq + Hash> {
    max: AtomicUsize,
    held: Mutex<HashMap<K, usize>>,
}

/// It has as many as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Without a bound.
impl<K: Eq + Hash> Default for Places<K> {
    fn default() -> Self {
        Self::up_to(None)
    }
}

impl<K: Eq + Hash> Places<K> {
    /// Each may have so many connections; `None` for as many as there is room for.
    #[must_use]
    pub fn up_to(max: Option<usize>) -> Self {
        Self { max: AtomicUsize::new(max.unwrap_or(usize::MAX)), held: Mutex::default() }
    }

    /// From now on each may have so many. Who has more keeps them; those that came while there was no bound are not counted.
    pub fn set_max(&self, max: Option<usize>) {
        self.max.store(max.unwrap_or(usize::MAX), Ordering::Relaxed);
    }
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// One more connection of `key`, and its place, if places are counted.
    ///
    /// # Errors
    /// It has as many as it may.
    pub fn enter(self: &Arc<Self>, key: K) -> Result<Option<Place<K>>, Full> {
        let max = self.max.load(Ordering::Relaxed);
        if max == usize::MAX {
            return Ok(None);
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(key.clone()).or_default();
        if *count >= max {
            return Err(Full);
        }
        *count += 1;
        Ok(Some(Place { places: Arc::clone(self), key }))
    }
}

impl Places<IpAddr> {
    /// One more connection from `address`, which counts as all of its /64 if it is one of IPv6.
    ///
    /// # Errors
    /// It has as many as it may.
    pub fn enter_from(self: &Arc<Self>, address: IpAddr) -> Result<Option<Place<IpAddr>>, Full> {
        self.enter(network_of(address))
    }
}

/// One connection of an address or a user, for as long as it lives.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    key: K,
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut held = self.places.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

/// What an address counts as: of IPv6 the first 64 bits, because who has one address there has that many.
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
        let addresses = Arc::new(Places::up_to(Some(2)));
        let enter =
            |address: &str| addresses.enter(network_of(address.parse().expect("an address"))).ok().flatten();
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

    #[test]
    fn the_bound_can_be_changed() {
        let users = Arc::new(Places::up_to(None));
        let free = users.enter("ann").expect("there is no bound");
        assert!(free.is_none());
        users.set_max(Some(1));
        let first = users.enter("ann").expect("one may be").expect("it is counted");
        assert!(users.enter("ann").is_err());
        users.set_max(Some(2));
        assert!(users.enter("ann").is_ok());
        drop(first);
    }
}
