//! The system's routes and neighbours, by netlink (rtnetlink(7)): where a flow has to leave.

use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Longest answer that is read; one about an interface has some kilobytes.
const ANSWER_BYTES: usize = 32 * 1024;

/// The system answers at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Kinds of messages.
const ERROR: u16 = 2;
const GET_LINK: u16 = 18;
const GET_ROUTE: u16 = 26;
const GET_NEIGHBOUR: u16 = 30;

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;

/// `struct nlmsghdr`, and what follows it in answers about routes, neighbours and interfaces.
const HEADER_BYTES: usize = 16;
const ROUTE_BYTES: usize = 12;
const NEIGHBOUR_BYTES: usize = 12;
const LINK_BYTES: usize = 16;

/// `RTN_UNICAST`: through an interface, to somebody else.
const UNICAST: u8 = 1;

/// `NUD_REACHABLE`, `STALE`, `DELAY`, `PROBE` and `PERMANENT`: the address of a neighbour counts.
const KNOWN: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;

/// Asks the system, in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Routes {
    socket: Socket,
    sequence: u32,
}

/// How datagrams reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Index of the interface that they leave by.
    pub interface: NonZeroU32,
    /// The neighbour that they are handed to: a router, or who has the address.
    pub neighbour: IpAddr,
}

impl Routes {
    /// # Errors
    /// The system's: no netlink.
    pub fn open() -> io::Result<Self> {
        let domain = Domain::from(libc::AF_NETLINK);
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// The way from an address of this host to another one, as its rules and tables say.
    ///
    /// # Errors
    /// There is none, or it does not leave the host; or the system does not answer.
    pub fn way(&mut self, from: IpAddr, to: IpAddr) -> io::Result<Way> {
        let (family, bits) = family_of(to);
        let mut request = vec![family, bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        attribute(&mut request, 1, &octets(to));
        attribute(&mut request, 2, &octets(from));
        let answer = self.ask(GET_ROUTE, &request)?;
        // rtmsg.rtm_type.
        if answer.get(7) != Some(&UNICAST) {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        let attributes = answer.get(ROUTE_BYTES..).unwrap_or_default();
        let interface = find(attributes, 4)
            .and_then(number)
            .and_then(NonZeroU32::new);
        let interface = interface.ok_or(io::ErrorKind::NetworkUnreachable)?;
        // RTA_GATEWAY, or RTA_VIA with a family before it: a router of the other family.
        let gateway = find(attributes, 5).and_then(address);
        let via = find(attributes, 18).and_then(|via| address(via.get(2..)?));
        Ok(Way {
            interface,
            neighbour: gateway.or(via).unwrap_or(to),
        })
    }

    /// The Ethernet address of a neighbour; `None` while it is not known.
    ///
    /// # Errors
    /// The system does not answer.
    pub fn neighbour(&mut self, way: Way) -> io::Result<Option<[u8; 6]>> {
        let (family, _) = family_of(way.neighbour);
        let [a, b, c, d] = way.interface.get().to_ne_bytes();
        let mut request = vec![family, 0, 0, 0, a, b, c, d, 0, 0, 0, 0];
        attribute(&mut request, 1, &octets(way.neighbour));
        let answer = match self.ask(GET_NEIGHBOUR, &request) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let state = answer.get(8..).and_then(|rest| rest.first_chunk());
        let is_known = state.is_some_and(|state| u16::from_ne_bytes(*state) & KNOWN != 0);
        let attributes = answer.get(NEIGHBOUR_BYTES..).unwrap_or_default();
        Ok(find(attributes, 2)
            .filter(|_| is_known)
            .and_then(|mac| mac.try_into().ok()))
    }

    /// The Ethernet address of an interface; `None` if it has none.
    ///
    /// # Errors
    /// It is gone, or the system does not answer.
    pub fn ethernet(&mut self, interface: NonZeroU32) -> io::Result<Option<[u8; 6]>> {
        let mut request = vec![0; LINK_BYTES];
        if let Some(index) = request.get_mut(4..8) {
            index.copy_from_slice(&interface.get().to_ne_bytes());
        }
        let answer = self.ask(GET_LINK, &request)?;
        let attributes = answer.get(LINK_BYTES..).unwrap_or_default();
        Ok(find(attributes, 1).and_then(|mac| mac.try_into().ok()))
    }

    /// What follows the header of the answer.
    fn ask(&mut self, kind: u16, request: &[u8]) -> io::Result<Vec<u8>> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER_BYTES + request.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADER_BYTES + request.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&REQUEST.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(request);
        self.socket.write_all(&message)?;
        let mut answer = vec![0; ANSWER_BYTES];
        loop {
            let length = self.socket.read(&mut answer)?;
            let message = answer.get(..length).unwrap_or_default();
            if let Some(content) = content(message, self.sequence)? {
                return Ok(content.to_vec());
            }
        }
    }
}

/// What follows the header of a message; `None` if it answers another request.
fn content(message: &[u8], sequence: u32) -> io::Result<Option<&[u8]>> {
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (header, content) = message
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(cut)?;
    let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = *header;
    if u32::from_ne_bytes([s0, s1, s2, s3]) != sequence {
        return Ok(None);
    }
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let content = length
        .checked_sub(HEADER_BYTES)
        .and_then(|length| content.get(..length))
        .ok_or_else(cut)?;
    if u16::from_ne_bytes([k0, k1]) != ERROR {
        return Ok(Some(content));
    }
    let errno = content
        .first_chunk()
        .map_or(0, |it| i32::from_ne_bytes(*it));
    Err(io::Error::from_raw_os_error(errno.saturating_neg()))
}

/// Appends an attribute (`struct rtattr`); all that is asked for has whole words.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(value);
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(([l0, l1, k0, k1], _)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = attributes.get(4..length)?;
        // The highest bits are flags.
        if u16::from_ne_bytes([*k0, *k1]) & 0x3fff == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The family, and the bits of an address.
fn family_of(address: IpAddr) -> (u8, u8) {
    // AF_INET and AF_INET6.
    if address.is_ipv4() {
        (2, 32)
    } else {
        (10, 128)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_and_what_is_cut_is_not() {
        let mut attributes = Vec::new();
        attribute(&mut attributes, 1, &[192, 0, 2, 1]);
        attribute(&mut attributes, 4, &7u32.to_ne_bytes());
        assert_eq!(find(&attributes, 4).and_then(number), Some(7));
        assert_eq!(
            find(&attributes, 1).and_then(address),
            Some([192, 0, 2, 1].into())
        );
        assert_eq!(find(&attributes, 5), None);
        for length in 0..attributes.len() {
            let found = find(&attributes[..length], 4);
            assert_eq!(found, None, "{length}");
        }
        // A length of 0 ends it.
        assert_eq!(find(&[0, 0, 4, 0, 0, 0, 4, 0], 4), None);
    }

    #[test]
    fn an_answer_is_of_its_request_and_an_error_is_one() {
        let mut message = vec![20, 0, 0, 0, 24, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        if cfg!(target_endian = "big") {
            return;
        }
        assert_eq!(content(&message, 5).unwrap(), Some(&[1, 2, 3, 4][..]));
        assert_eq!(content(&message, 6).unwrap(), None);
        assert!(content(&message[..19], 5).is_err() && content(&[], 5).is_err());
        message[4] = 2;
        message[16..].copy_from_slice(&(-libc::ENETUNREACH).to_ne_bytes());
        let error = content(&message, 5).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH));
    }

    #[test]
    fn what_stays_on_the_host_has_no_way() {
        let mut routes = Routes::open().unwrap();
        let loopback = [127, 0, 0, 1].into();
        let error = routes.way(loopback, loopback).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
        // The second question is not answered by what the first one left.
        let index = NonZeroU32::new(crate::sys::interface::index("lo").unwrap()).unwrap();
        assert_eq!(routes.ethernet(index).unwrap(), Some([0; 6]));
    }
}
