//! Socket addresses as the system writes them.

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr;

/// The size of an address structure as the system wants it.
pub(super) fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// No address.
pub(super) fn blank() -> libc::sockaddr_storage {
    // SAFETY: all-zero bytes are a valid sockaddr_storage, of family AF_UNSPEC.
    unsafe { mem::zeroed() }
}

/// Reads an address that the system wrote; `None` if it is no IP address.
pub(super) fn read(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: sockaddr_storage is at least as large and as aligned as sockaddr_in, and
            // the family says that it holds one.
            Some(from_v4(unsafe {
                &*ptr::from_ref(name).cast::<libc::sockaddr_in>()
            }))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let address = from_v6(unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() });
            // A socket for both families writes IPv4 addresses so.
            Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
        }
        _ => None,
    }
}

pub(super) fn from_v4(v4: &libc::sockaddr_in) -> SocketAddr {
    let address = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
    SocketAddr::new(address.into(), u16::from_be(v4.sin_port))
}

pub(super) fn from_v6(v6: &libc::sockaddr_in6) -> SocketAddr {
    let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
    SocketAddr::new(address.into(), u16::from_be(v6.sin6_port))
}

/// Writes the destination of a raw packet, which has no port, and gives its length.
pub(super) fn write_portless(to: SocketAddr, name: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match to {
        SocketAddr::V4(v4) => {
            // SAFETY: sockaddr_storage is at least as large and as aligned as sockaddr_in, for
            // which every bit pattern is valid.
            let out = unsafe { &mut *ptr::from_mut(name).cast::<libc::sockaddr_in>() };
            out.sin_family = family(libc::AF_INET);
            out.sin_port = 0;
            out.sin_addr.s_addr = v4.ip().to_bits().to_be();
            socklen::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above, for sockaddr_in6.
            let out = unsafe { &mut *ptr::from_mut(name).cast::<libc::sockaddr_in6>() };
            out.sin6_family = family(libc::AF_INET6);
            out.sin6_port = 0;
            out.sin6_flowinfo = 0;
            out.sin6_addr.s6_addr = v6.ip().octets();
            out.sin6_scope_id = SocketAddrV6::scope_id(&v6);
            socklen::<libc::sockaddr_in6>()
        }
    }
}

pub(super) fn family(family: i32) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).unwrap_or_default()
}
