//! `connect(2)` to nowhere: takes the peer of a UDP socket back.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::address;

/// Dissolves the association of a connected UDP socket; it stays bound, if its port was asked for
/// by number.
///
/// # Errors
/// The system's; none is known for a UDP socket.
pub(crate) fn dissolve(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sockaddr.
    let mut nowhere: libc::sockaddr = unsafe { mem::zeroed() };
    nowhere.sa_family = address::family(libc::AF_UNSPEC);
    let length = address::socklen::<libc::sockaddr>();
    // SAFETY: the address lives until the call returns and is as long as it says.
    let result = unsafe { libc::connect(socket.as_raw_fd(), ptr::from_ref(&nowhere), length) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_dissolved_socket_hears_everybody_on_its_old_port() {
        let (far, other) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        // A port that the system chose would be given back with the association; media ports are
        // asked for by number.
        let local = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let near = UdpSocket::bind(local).unwrap();
        near.connect(far.local_addr().unwrap()).unwrap();
        dissolve(near.as_fd()).unwrap();
        assert_eq!(near.local_addr().unwrap(), local);
        other.send_to(b"x", local).unwrap();
        let mut buffer = [0u8; 4];
        assert_eq!(
            near.recv_from(&mut buffer).unwrap(),
            (1, other.local_addr().unwrap())
        );
    }
}
