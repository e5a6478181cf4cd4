//! Messages to the service manager: sd_notify(3), for units of `Type=notify`, such as Debian's unit
//! of rtpengine.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The relay serves.
pub const READY: &str = "READY=1";

/// The relay has begun to end.
pub const STOPPING: &str = "STOPPING=1";

/// Tells the manager at `socket`, the value of NOTIFY_SOCKET: a path, or an abstract name behind `@`.
///
/// # Errors
/// Nobody listens there.
pub fn notify(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_told_by_path_and_by_abstract_name() {
        let name = format!("windlass-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let _ = std::fs::remove_file(&path);
        let abstracted = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        for (manager, socket) in [
            (
                UnixDatagram::bind(&path).unwrap(),
                path.clone().into_os_string(),
            ),
            (
                UnixDatagram::bind_addr(&abstracted).unwrap(),
                format!("@{name}").into(),
            ),
        ] {
            notify(&socket, READY).unwrap();
            let mut buffer = [0; 20];
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], READY.as_bytes());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(notify(path.as_os_str(), READY).is_err());
    }
}
