use std::ffi::OsStr;
use std::os::fd::AsFd;

use super::*;

#[test]
fn names_are_those_that_every_holder_takes() {
    for name in ["queue.0.2", "ng-udp_1", "a"] {
        assert!(Nobody.remove(name).is_ok(), "{name}");
    }
    let long = "x".repeat(256);
    for name in ["", "a:b", "a=b", "a\nb", "é", long.as_str()] {
        assert!(
            matches!(Nobody.remove(name), Err(HoldError::Name(_))),
            "{name:?}"
        );
    }
}

#[test]
fn notifications_are_those_of_systemd() {
    let name = format!("windlass-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    let holder = Notified::new(OsStr::new(&format!("@{name}"))).unwrap();
    holder.hold("queue.0.1", manager.as_fd()).unwrap();
    holder.remove("queue.0.1").unwrap();
    let mut text = [0; 100];
    let len = manager.recv(&mut text).unwrap();
    assert_eq!(&text[..len], b"FDSTORE=1\nFDNAME=queue.0.1\nFDPOLL=0");
    let len = manager.recv(&mut text).unwrap();
    assert_eq!(&text[..len], b"FDSTOREREMOVE=1\nFDNAME=queue.0.1");
    drop(manager);
    assert!(matches!(holder.remove("x"), Err(HoldError::System(_))));
    let nowhere = Notified::new(OsStr::new("/nonexistent/notify")).unwrap();
    assert!(nowhere.remove("x").is_err());
}

#[test]
fn what_is_meant_for_another_process_is_left_alone() {
    let variable = |name: &str| match name {
        "LISTEN_PID" => Some(OsStr::new("1")),
        "LISTEN_FDS" => Some(OsStr::new("5")),
        _ => None,
    };
    assert!(passed(2, variable).unwrap().is_empty());
    let many = |name: &str| match name {
        "LISTEN_PID" => Some(OsStr::new("2")),
        _ => Some(OsStr::new("5000")),
    };
    assert!(passed(2, many).is_err());
}
