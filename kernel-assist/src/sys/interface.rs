//! Network interfaces of the namespace of the calling thread.

use std::ffi::{CStr, CString};
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

/// Index of an interface.
///
/// # Errors
/// The system's: there is none of this name.
pub(crate) fn index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: a string that ends with 0 and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Name of an interface; `None` if it is gone.
pub(crate) fn name(index: u32) -> Option<String> {
    let mut buffer = [0u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the length that the call asks for.
    let name = unsafe { libc::if_indextoname(index, buffer.as_mut_ptr().cast()) };
    let name = (!name.is_null()).then(|| CStr::from_bytes_until_nul(&buffer).ok())??;
    Some(name.to_string_lossy().into_owned())
}

/// The begin of `struct ethtool_drvinfo`, and room for its rest.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 256],
}

/// Name of the driver (`ETHTOOL_GDRVINFO`); `None` where it does not say.
pub(crate) fn driver(interface: &str) -> Option<String> {
    const ETHTOOL_GDRVINFO: u32 = 3;
    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    let mut answer = DriverInfo {
        command: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        rest: [0; 256],
    };
    // SAFETY: integers and addresses, all of which may be 0.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = ptr::from_mut(&mut answer).cast();
    // Any socket does; it is not bound and sends nothing.
    let socket = UdpSocket::bind("127.0.0.1:0").ok();
    let socket = socket.or_else(|| UdpSocket::bind("[::1]:0").ok())?;
    // SAFETY: the request names an answer that is longer than what the kernel writes (196 bytes).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
    let driver = CStr::from_bytes_until_nul(&answer.driver).ok()?;
    (result == 0).then(|| driver.to_string_lossy().into_owned())
}
