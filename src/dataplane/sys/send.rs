//! `sendmmsg(2)` with arrays that are allocated once.

use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::{STAGGER, address};

/// Packets that wait to be sent by one `sendmmsg(2)` call. Buffers are allocated once and reused.
pub(crate) struct SendBatch {
    headers: Box<[libc::mmsghdr]>,
    // The headers point into these three; they are never moved or resized.
    vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    buffers: Box<[u8]>,
    buffer_bytes: usize,
    filled: usize,
}

// SAFETY: the raw pointers in the headers point into boxes that the same value owns, so they stay
// valid when it moves to another thread, and nothing else uses them.
unsafe impl Send for SendBatch {}

impl fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatch")
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

impl SendBatch {
    /// Room for `packets` of up to `buffer_bytes` each.
    pub(crate) fn new(packets: usize, buffer_bytes: usize) -> Self {
        let buffer_bytes = buffer_bytes + STAGGER;
        let mut buffers = vec![0u8; packets * buffer_bytes].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = buffers
            .chunks_exact_mut(buffer_bytes)
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: 0,
            })
            .collect();
        let mut names = vec![address::blank(); packets].into_boxed_slice();
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
            vectors,
            names,
            buffers,
            buffer_bytes,
            filled: 0,
        }
    }

    /// Whether no further packet fits.
    pub(crate) fn is_full(&self) -> bool {
        self.filled == self.headers.len()
    }

    /// Adds a packet for `to` that `write` writes into a buffer, giving its length. `false` if the
    /// batch is full or `write` gives none.
    pub(crate) fn push(
        &mut self,
        to: SocketAddr,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let index = self.filled;
        let start = index * self.buffer_bytes;
        let buffer = self.buffers.get_mut(start..start + self.buffer_bytes);
        let length = buffer.and_then(write);
        let (Some(length), Some(header), Some(vector), Some(name)) = (
            length,
            self.headers.get_mut(index),
            self.vectors.get_mut(index),
            self.names.get_mut(index),
        ) else {
            return false;
        };
        vector.iov_len = length.min(self.buffer_bytes);
        header.msg_hdr.msg_namelen = address::write_portless(to, name);
        self.filled += 1;
        true
    }

    /// A packet that waits.
    pub(crate) fn packet(&self, index: usize) -> Option<&[u8]> {
        let length = self.vectors.get(index)?.iov_len;
        let start = index * self.buffer_bytes;
        self.buffers.get(start..start + length)
    }

    /// Sends all packets, and tells of each that the system refused by its place in the batch.
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        mut refused: impl FnMut(&Self, usize, io::Error),
    ) {
        let mut sent = 0;
        if self.filled == 1 {
            sent = 1;
            if let Err(error) = self.send_first(socket) {
                refused(self, 0, error);
            }
        }
        while sent < self.filled {
            let left = libc::c_uint::try_from(self.filled - sent).unwrap_or(libc::c_uint::MAX);
            let Some(first) = self.headers.get_mut(sent..) else {
                break;
            };
            // SAFETY: the headers from `sent` on are at least `left`; every one points at one
            // vector and one name, every vector at one buffer at least as long as it says; all
            // are owned by `self`, allocated in `new` and never moved or resized.
            let result = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    first.as_mut_ptr(),
                    left,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(result) {
                Ok(count) if count > 0 => sent += count,
                // The system tells of the first packet's error alone; others are tried again.
                _ => {
                    refused(self, sent, io::Error::last_os_error());
                    sent += 1;
                }
            }
        }
        self.filled = 0;
    }
    /// Sends the first packet. One alone is cheaper without the headers of many.
    fn send_first(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let (Some(vector), Some(header), Some(name)) = (
            self.vectors.first(),
            self.headers.first(),
            self.names.first(),
        ) else {
            return Ok(());
        };
        // SAFETY: the vector points at a buffer of at least its length, and the name is as long as
        // the header says; both are owned by `self` and live for the call.
        let result = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                vector.iov_base,
                vector.iov_len,
                libc::MSG_DONTWAIT,
                ptr::from_ref(name).cast(),
                header.msg_hdr.msg_namelen,
            )
        };
        match result {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
