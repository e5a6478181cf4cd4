//! `recvmmsg(2)` with arrays that are allocated once.

use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::{STAGGER, address};

/// Room for what comes beside a datagram: its original destination.
const CONTROL_WORDS: usize = 8;

/// `recvmsg(2)` wants it aligned as a `cmsghdr` is.
type Control = [u64; CONTROL_WORDS];

/// Datagrams of one `recvmmsg(2)` call. Buffers are allocated once and reused.
pub(crate) struct RecvBatch {
    headers: Box<[libc::mmsghdr]>,
    // The headers point into these four; they are never moved or resized.
    _vectors: Box<[libc::iovec]>,
    _controls: Box<[Control]>,
    names: Box<[libc::sockaddr_storage]>,
    buffers: Box<[u8]>,
    buffer_bytes: usize,
    filled: usize,
    /// Which of the filled ones are not to be looked at.
    discarded: Box<[bool]>,
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
        let stride = buffer_bytes + STAGGER;
        let mut buffers = vec![0u8; datagrams * stride].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = buffers
            .chunks_exact_mut(stride)
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer_bytes,
            })
            .collect();
        let mut names = vec![address::blank(); datagrams].into_boxed_slice();
        let mut controls = vec![[0; CONTROL_WORDS]; datagrams].into_boxed_slice();
        let headers = vectors
            .iter_mut()
            .zip(names.iter_mut())
            .zip(controls.iter_mut())
            .map(|((vector, name), control)| {
                // SAFETY: all-zero bytes are a valid mmsghdr: null pointers and lengths of 0.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_control = ptr::from_mut(control).cast();
                reset(&mut header);
                header
            })
            .collect();
        Self {
            headers,
            _vectors: vectors,
            _controls: controls,
            names,
            buffers,
            buffer_bytes,
            filled: 0,
            discarded: vec![false; datagrams].into_boxed_slice(),
        }
    }

    /// Number of datagrams that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Takes up to `at_most` datagrams that are waiting on a socket, without waiting. Fewer mean
    /// that the queue was empty after them.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; an ICMP error of an earlier datagram.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, at_most: usize) -> io::Result<usize> {
        self.receive_with(socket, at_most, libc::MSG_DONTWAIT)
    }

    /// Waits for a datagram as long as a blocking socket is set to, and takes up to `at_most` that
    /// are there then.
    ///
    /// # Errors
    /// `WouldBlock` if nothing came in time; an ICMP error of an earlier datagram.
    pub(crate) fn await_first(
        &mut self,
        socket: BorrowedFd<'_>,
        at_most: usize,
    ) -> io::Result<usize> {
        self.receive_with(socket, at_most, libc::MSG_WAITFORONE)
    }

    fn receive_with(
        &mut self,
        socket: BorrowedFd<'_>,
        at_most: usize,
        flags: libc::c_int,
    ) -> io::Result<usize> {
        // The system writes lengths into the headers that it fills.
        for header in self.headers.iter_mut().take(self.filled) {
            reset(header);
        }
        self.filled = 0;
        self.discarded.fill(false);
        let at_most = at_most.min(self.headers.len());
        let count = libc::c_uint::try_from(at_most).unwrap_or(libc::c_uint::MAX);
        // SAFETY: every header points at one vector, one name and one control block, every vector
        // at one buffer; all are owned by `self`, allocated in `new` and never moved or resized
        // while it exists. `count` is no more than there are.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                flags,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.filled)
    }

    /// A received datagram and its source. `None` beyond the last one, or if the source is no IP
    /// address. What did not fit is cut off, and [`Self::is_cut`] says so.
    pub(crate) fn datagram(&self, index: usize) -> Option<(&[u8], SocketAddr)> {
        if index >= self.filled || self.is_discarded(index) {
            return None;
        }
        let length = usize::try_from(self.headers.get(index)?.msg_len).ok()?;
        let start = index * (self.buffer_bytes + STAGGER);
        let bytes = self
            .buffers
            .get(start..start + length.min(self.buffer_bytes))?;
        Some((bytes, address::read(self.names.get(index)?)?))
    }

    /// Makes as if a received datagram had no source and no destination.
    pub(crate) fn discard(&mut self, index: usize) {
        if let Some(discarded) = self.discarded.get_mut(index) {
            *discarded = true;
        }
    }

    fn is_discarded(&self, index: usize) -> bool {
        self.discarded.get(index) == Some(&true)
    }

    /// Whether a received datagram was longer than its buffer.
    pub(crate) fn is_cut(&self, index: usize) -> bool {
        let header = self.headers.get(index).filter(|_| index < self.filled);
        header.is_some_and(|header| header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0)
    }

    /// Ancillary data of a received datagram.
    pub(crate) fn aside(&self, index: usize) -> Aside {
        let mut aside = Aside::default();
        let header = self.headers.get(index).filter(|_| index < self.filled);
        let Some(header) = header.map(|header| &header.msg_hdr) else {
            return aside;
        };
        // SAFETY: the header points at a control block that `self` owns, and the system wrote how
        // much of it is filled; the macros stay within that.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !next.is_null() {
            // SAFETY: not null, so within the control block, aligned and filled by the system;
            // nothing changes it while `self` is borrowed.
            let control = unsafe { &*next };
            // SAFETY: the data of that control message. Of the block's pointer: a reference to the
            // header of the message says nothing of what is behind it.
            let data = unsafe { libc::CMSG_DATA(next) };
            match (control.cmsg_level, control.cmsg_type) {
                (libc::SOL_IP, libc::IP_ORIGDSTADDR) => {
                    // SAFETY: a message of this type holds a sockaddr_in, at any alignment.
                    let local: libc::sockaddr_in = unsafe { ptr::read_unaligned(data.cast()) };
                    aside.local = Some(address::from_v4(&local));
                }
                (libc::SOL_IPV6, libc::IPV6_ORIGDSTADDR) => {
                    // SAFETY: a message of this type holds a sockaddr_in6, at any alignment.
                    let local: libc::sockaddr_in6 = unsafe { ptr::read_unaligned(data.cast()) };
                    aside.local = Some(address::from_v6(&local));
                }
                _ => {}
            }
            // SAFETY: `next` is a message of this header.
            next = unsafe { libc::CMSG_NXTHDR(header, next) };
        }
        if self.is_discarded(index) {
            aside.local = None;
        }
        aside
    }
}

/// Says how much room a header has.
fn reset(header: &mut libc::mmsghdr) {
    header.msg_hdr.msg_namelen = address::socklen::<libc::sockaddr_storage>();
    header.msg_hdr.msg_controllen = size_of::<Control>();
}

/// What the system says beside a datagram, if its socket is asked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aside {
    /// Address that it was sent to (`IP_RECVORIGDSTADDR`).
    pub(crate) local: Option<SocketAddr>,
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
            assert!(batch.receive(to.as_fd(), 4).is_err());
            for i in 0..6u8 {
                from.send_to(&vec![i; 10 + 20 * usize::from(i)], to.local_addr().unwrap())
                    .unwrap();
            }
            assert_eq!(batch.receive(to.as_fd(), 4).unwrap(), 4);
            let (bytes, source) = batch.datagram(1).unwrap();
            assert_eq!(
                (bytes, source),
                (&[1u8; 30][..], from.local_addr().unwrap())
            );
            assert_eq!(batch.datagram(3).unwrap().0.len(), 64);
            assert_eq!(
                [0, 1, 2, 3].map(|i| batch.is_cut(i)),
                [false, false, false, true]
            );
            assert_eq!(batch.receive(to.as_fd(), 4).unwrap(), 2);
            assert!(batch.datagram(2).is_none());
        }
    }
}
