//! `recvmmsg(2)` with arrays that are allocated once.

use std::fmt;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Datagrams of one `recvmmsg(2)` call. Buffers are allocated once and reused.
pub(crate) struct RecvBatch {
    headers: Box<[libc::mmsghdr]>,
    // The headers point into these three; they are never moved or resized.
    _vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    buffers: Box<[u8]>,
    buffer_bytes: usize,
    filled: usize,
}

// SAFETY: the raw pointers in the headers point into boxes that the same value owns, so they stay
// valid when it moves to another thread, and nothing else uses them.
unsafe impl Send for RecvBatch {}

impl fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBatch")
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

impl RecvBatch {
    /// Room for `datagrams` of up to `buffer_bytes` each; longer ones are cut by the system.
    pub(crate) fn new(datagrams: usize, buffer_bytes: usize) -> Self {
        let mut buffers = vec![0u8; datagrams * buffer_bytes].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = buffers
            .chunks_exact_mut(buffer_bytes)
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer_bytes,
            })
            .collect();
        // SAFETY: all-zero bytes are a valid sockaddr_storage, of family AF_UNSPEC.
        let blank: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let mut names = vec![blank; datagrams].into_boxed_slice();
        let headers = vectors
            .iter_mut()
            .zip(names.iter_mut())
            .map(|(vector, name)| {
                // SAFETY: all-zero bytes are a valid mmsghdr: null pointers and lengths of 0.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header
            })
            .collect();
        Self {
            headers,
            _vectors: vectors,
            names,
            buffers,
            buffer_bytes,
            filled: 0,
        }
    }

    /// How many datagrams fit.
    pub(crate) fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Takes what is waiting on a socket, without waiting. Fewer than [`Self::capacity`] means
    /// that the queue was empty after them.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; an ICMP error of an earlier datagram.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.filled = 0;
        for header in &mut self.headers {
            header.msg_hdr.msg_namelen = socklen::<libc::sockaddr_storage>();
        }
        let count = libc::c_uint::try_from(self.headers.len()).unwrap_or(libc::c_uint::MAX);
        // SAFETY: every header points at one vector and one name, every vector at one buffer; all
        // are owned by `self`, allocated in `new` and never moved or resized while it exists.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.filled)
    }

    /// A received datagram and its source. `None` beyond the last one, or if the source is no IP
    /// address.
    pub(crate) fn datagram(&self, index: usize) -> Option<(&[u8], SocketAddr)> {
        if index >= self.filled {
            return None;
        }
        let length = usize::try_from(self.headers.get(index)?.msg_len).ok()?;
        let start = index * self.buffer_bytes;
        let bytes = self
            .buffers
            .get(start..start + length.min(self.buffer_bytes))?;
        Some((bytes, source(self.names.get(index)?)?))
    }
}

/// The size of an address structure as the system wants it.
fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// Reads an address that the system wrote.
fn source(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: sockaddr_storage is at least as large and as aligned as sockaddr_in, and
            // the family says that it holds one.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(
                IpAddr::V4(address),
                u16::from_be(v4.sin_port),
            ))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::new(
                IpAddr::V6(address),
                u16::from_be(v6.sin6_port),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn datagrams_come_with_their_sources() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (Ok(to), Ok(from)) = (UdpSocket::bind(host), UdpSocket::bind(host)) else {
                continue;
            };
            let mut batch = RecvBatch::new(4, 64);
            assert!(batch.receive(to.as_fd()).is_err());
            for i in 0..6u8 {
                from.send_to(&vec![i; 10 + 20 * usize::from(i)], to.local_addr().unwrap())
                    .unwrap();
            }
            assert_eq!(batch.receive(to.as_fd()).unwrap(), 4);
            let (bytes, source) = batch.datagram(1).unwrap();
            assert_eq!(
                (bytes, source),
                (&[1u8; 30][..], from.local_addr().unwrap())
            );
            assert_eq!(batch.datagram(3).unwrap().0.len(), 64);
            assert_eq!(batch.receive(to.as_fd()).unwrap(), 2);
            assert!(batch.datagram(2).is_none());
        }
    }
}
