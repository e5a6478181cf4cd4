//! From a local address and port to the flow that has it: two array look-ups, no hash.

use std::net::{IpAddr, SocketAddr};

/// Ports of one page. Pages are made when the first of their ports is used.
const PAGE: usize = 256;

/// The places of a page's ports, plus one; 0: none.
type Page = [u32; PAGE];

/// The pages of one local address.
type Pages = [Option<Box<Page>>; PAGE];

/// Where the flows of local addresses are. Pages stay: they are a kilobyte for 256 ports.
#[derive(Debug, Default)]
pub(super) struct ByLocal {
    /// In the order of their addresses. A host has few.
    addresses: Vec<(Key, Box<Pages>)>,
}

/// An address; of a link-local one the interface, too.
type Key = (IpAddr, u32);

impl ByLocal {
    /// The place of a flow.
    pub(super) fn get(&self, local: SocketAddr) -> Option<usize> {
        let pages = self.pages(local)?;
        let (page, port) = split(local.port());
        let place = *pages.get(page)?.as_deref()?.get(port)?;
        usize::try_from(place.checked_sub(1)?).ok()
    }

    pub(super) fn contains(&self, local: SocketAddr) -> bool {
        self.get(local).is_some()
    }

    /// Notes the place of a flow. A worker has room for 2^32 - 2 flows, and sockets for fewer.
    pub(super) fn insert(&mut self, local: SocketAddr, place: usize) {
        let key = key(local);
        let known = self
            .addresses
            .binary_search_by_key(&key, |(address, _)| *address);
        let index = known.unwrap_or_else(|index| {
            let pages = Box::new([const { None }; PAGE]);
            self.addresses.insert(index, (key, pages));
            index
        });
        let (page, port) = split(local.port());
        let pages = self.addresses.get_mut(index).map(|(_, pages)| pages);
        let page = pages.and_then(|pages| pages.get_mut(page));
        let Some(page) = page else { return };
        let page = page.get_or_insert_with(|| Box::new([0; PAGE]));
        if let Some(slot) = page.get_mut(port) {
            *slot = u32::try_from(place)
                .unwrap_or(u32::MAX - 1)
                .saturating_add(1);
        }
    }

    /// Forgets the place of a flow, and gives it back.
    pub(super) fn remove(&mut self, local: SocketAddr) -> Option<usize> {
        let key = key(local);
        let known = self
            .addresses
            .binary_search_by_key(&key, |(address, _)| *address);
        let (_, pages) = self.addresses.get_mut(known.ok()?)?;
        let (page, port) = split(local.port());
        let slot = pages.get_mut(page)?.as_deref_mut()?.get_mut(port)?;
        let place = std::mem::take(slot);
        usize::try_from(place.checked_sub(1)?).ok()
    }

    fn pages(&self, local: SocketAddr) -> Option<&Pages> {
        let key = key(local);
        // Most hosts have one media address, or two.
        if let [(only, pages)] = self.addresses.as_slice() {
            return (*only == key).then_some(pages);
        }
        let known = self
            .addresses
            .binary_search_by_key(&key, |(address, _)| *address);
        self.addresses.get(known.ok()?).map(|(_, pages)| &**pages)
    }
}

fn key(local: SocketAddr) -> Key {
    let interface = match local {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    };
    (local.ip(), interface)
}

/// Page and place in it.
fn split(port: u16) -> (usize, usize) {
    let port = usize::from(port);
    (port / PAGE, port % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_found_by_address_and_port() {
        let mut map = ByLocal::default();
        let locals = [
            "192.0.2.1:30000",
            "192.0.2.1:65535",
            "192.0.2.1:0",
            "[2001:db8::1]:30000",
            "[fe80::1%2]:30000",
            "[fe80::1%3]:30000",
            "198.51.100.1:30000",
        ];
        let locals = locals.map(|text| text.parse::<SocketAddr>().unwrap());
        for (place, local) in locals.iter().enumerate() {
            assert_eq!(map.get(*local), None);
            map.insert(*local, place);
        }
        for (place, local) in locals.iter().enumerate() {
            assert_eq!(map.get(*local), Some(place), "{local}");
        }
        assert!(!map.contains("192.0.2.1:30001".parse().unwrap()));
        assert!(!map.contains("192.0.2.2:30000".parse().unwrap()));
        map.insert(locals[0], 70_000);
        assert_eq!(map.remove(locals[0]), Some(70_000));
        assert_eq!(map.remove(locals[0]), None);
        assert_eq!(map.get(locals[1]), Some(1));
    }
}
