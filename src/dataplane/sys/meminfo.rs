//! What the system says of a socket's queues (`SO_MEMINFO`, socket(7)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::address::socklen;

/// Words of the answer, as of `linux/sock_diag.h`.
const WORDS: usize = 9;

/// The word that counts what a full queue did not take.
const DROPS: usize = 8;

/// Datagrams that the queue of a socket had no room for, since it was made.
///
/// # Errors
/// The system does not know the question.
pub(crate) fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut words = [0u32; WORDS];
    let mut length = socklen::<[u32; WORDS]>();
    // SAFETY: the system writes at most `length` bytes, which is the size of `words`, and into
    // `length` how many it wrote; both live for the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            ptr::from_mut(&mut words).cast(),
            ptr::from_mut(&mut length),
        )
    };
    match result {
        0 => Ok(words.get(DROPS).copied().unwrap_or_default()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_a_full_queue_does_not_take_is_counted() {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&to)
            .set_recv_buffer_size(4096)
            .unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(drops(to.as_fd()).unwrap(), 0);
        for _ in 0..100 {
            from.send_to(&[0; 1000], to.local_addr().unwrap()).unwrap();
        }
        to.set_nonblocking(true).unwrap();
        let mut taken = 0;
        while to.recv(&mut [0; 1000]).is_ok() {
            taken += 1;
        }
        assert_eq!(drops(to.as_fd()).unwrap(), 100 - taken);
    }
}
