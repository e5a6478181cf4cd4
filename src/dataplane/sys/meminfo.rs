//! What the system says of a socket's queues (`SO_MEMINFO`, socket(7)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::address::socklen;

/// Words of the answer, as of `linux/sock_diag.h`.
const WORDS: usize = 9;

/// The word that says how many bytes wait in the receive queue.
const WAITING: usize = 0;

/// The word that says how many bytes it has room for.
const ROOM: usize = 1;

/// The word that counts what a full queue did not take.
const DROPS: usize = 8;

/// Datagrams that the queue of a socket had no room for, since it was made.
///
/// # Errors
/// The system does not know the question.
pub(crate) fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let words = ask(socket)?;
    Ok(words.get(DROPS).copied().unwrap_or_default())
}

/// Whether the receive queue of a socket is half full; `false` if the system does not say.
pub(crate) fn is_half_full(socket: BorrowedFd<'_>) -> bool {
    let word = |words: &[u32; WORDS], index| words.get(index).copied().unwrap_or_default();
    ask(socket).is_ok_and(|words| word(&words, WAITING) > word(&words, ROOM) / 2)
}

fn ask(socket: BorrowedFd<'_>) -> io::Result<[u32; WORDS]> {
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
        0 => Ok(words),
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

    #[test]
    fn a_queue_fills_and_empties() {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&to)
            .set_recv_buffer_size(32 * 1024)
            .unwrap();
        assert!(!is_half_full(to.as_fd()));
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        // What there is no room for is dropped.
        for _ in 0..200 {
            from.send_to(&[7; 1_000], to.local_addr().unwrap()).unwrap();
        }
        assert!(is_half_full(to.as_fd()));
        to.set_nonblocking(true).unwrap();
        while to.recv(&mut [0; 2_000]).is_ok() {}
        assert!(!is_half_full(to.as_fd()));
    }
}
