//! The steering program in the kernel, with real datagrams on loopback.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use windlass_kernel_assist::rights;
use windlass_kernel_assist::steer::{SOCKETS_PER_WORKER, Steering, cgroup_root};

/// Ports of the tests, below those that the system gives out.
const FIRST: u16 = 21_000;

/// One test at a time: they use the same ports.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `None` without the rights for it: said, and a failure in CI.
fn attach(addresses: &[&str], workers: usize) -> Option<Steering> {
    let ranges: Vec<_> = addresses
        .iter()
        .map(|address| (address.parse().unwrap(), FIRST, FIRST + 99))
        .collect();
    match Steering::attach(&ranges, workers) {
        Ok(steering) => Some(steering),
        Err(error) => {
            let is_ci = std::env::var("CI").as_deref() == Ok("true");
            assert!(!is_ci || !rights::missing().is_empty(), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    socket
}

fn heard(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 64];
    let (bytes, from) = socket.recv_from(&mut buffer).ok()?;
    Some((buffer.get(..bytes)?.to_vec(), from))
}

#[test]
fn leased_ports_reach_the_worker_and_others_do_not() {
    let _alone = alone();
    for host in ["127.0.0.1", "[::1]"] {
        let Some(mut steering) = attach(&["127.0.0.1", "::1"], 2) else {
            return;
        };
        let any = format!("{host}:0");
        let local: SocketAddr = format!("{host}:{}", FIRST + 7).parse().unwrap();
        let family = u32::from(local.is_ipv6());
        let (room, gated) = (socket(&any), socket(&any));
        let worker = 1;
        let first = worker * SOCKETS_PER_WORKER + family;
        steering.set_socket(first, &room).unwrap();
        steering.set_socket(first + 2, &gated).unwrap();
        let (friend, stranger) = (socket(&any), socket(&any));
        let friends = friend.local_addr().unwrap();

        let slot = steering.slot(local).unwrap();
        friend.send_to(b"closed", local).unwrap();
        assert_eq!(heard(&room), None);

        steering.open(slot, worker);
        friend.send_to(b"open", local).unwrap();
        assert_eq!(heard(&room), Some((b"open".to_vec(), friends)));

        steering.gate(slot, Some(friends));
        stranger.send_to(b"no", local).unwrap();
        friend.send_to(b"yes", local).unwrap();
        assert_eq!(heard(&gated), Some((b"yes".to_vec(), friends)));
        assert_eq!((heard(&room), steering.refused(slot)), (None, 1));

        steering.gate(slot, None);
        stranger.send_to(b"again", local).unwrap();
        assert_eq!(heard(&room).unwrap().0, b"again");

        steering.close(slot);
        let other = socket(&local.to_string());
        friend.send_to(b"theirs", local).unwrap();
        assert_eq!(heard(&other).unwrap().0, b"theirs");
        drop(steering);
    }
}

#[test]
fn ports_of_other_programs_are_known() {
    let _alone = alone();
    let Some(steering) = attach(&["127.0.0.1", "::1"], 1) else {
        return;
    };
    let _exact = socket(&format!("127.0.0.1:{}", FIRST + 1));
    let _wild = socket(&format!("0.0.0.0:{}", FIRST + 2));
    let _six = socket(&format!("[::1]:{}", FIRST + 3));
    let local = |host: &str, offset| format!("{host}:{}", FIRST + offset).parse().unwrap();
    let locals = [
        local("127.0.0.1", 0),
        local("127.0.0.1", 1),
        local("127.0.0.1", 2),
        local("127.0.0.1", 3),
        local("[::1]", 3),
        local("[::1]", 1),
    ];
    assert_eq!(steering.held(&locals).unwrap(), 0b01_0110);
}

#[test]
fn addresses_and_ports_outside_of_the_ranges_have_no_slot() {
    let _alone = alone();
    let Some(steering) = attach(&["127.0.0.1"], 1) else {
        return;
    };
    let slot = |local: &str| steering.slot(local.parse().unwrap());
    assert!(slot("127.0.0.1:21099").is_some());
    assert!(slot("127.0.0.1:21100").is_none());
    assert!(slot("127.0.0.1:20999").is_none());
    assert!(slot("127.0.0.2:21000").is_none());
}

/// The compiler that the committed object was built with.
const CLANG: &str = "clang version 14.";

#[test]
fn the_committed_objects_are_what_the_sources_give() {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    };
    let version = run("clang", &["--version"]);
    if !version.is_some_and(|version| version.contains(CLANG)) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no {CLANG}");
        println!("skipped: needs {CLANG}");
        return;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/bpf");
    let built = std::env::temp_dir().join(format!("windlass-bpf-{}", std::process::id()));
    std::fs::create_dir(&built).unwrap();
    assert!(run(&format!("{folder}/build"), &[built.to_str().unwrap()]).is_some());
    for object in ["steer.bpf.o", "flows.bpf.o"] {
        let (built, committed) = (
            std::fs::read(built.join(object)).unwrap(),
            std::fs::read(format!("{folder}/{object}")).unwrap(),
        );
        assert!(
            built == committed,
            "{object}: run {folder}/build and commit"
        );
    }
    std::fs::remove_dir_all(&built).unwrap();
}

/// Binds what the environment names, for the test below: another process than that.
#[test]
fn bind_as_another_process() {
    if let Ok(address) = std::env::var("WINDLASS_TEST_BIND") {
        UdpSocket::bind(address).unwrap();
    }
}

fn can_another_process_bind(address: &str) -> bool {
    let tests = std::env::current_exe().unwrap();
    let mut other = Command::new(tests);
    other.args(["--nocapture", "--exact", "bind_as_another_process"]);
    let output = other.env("WINDLASS_TEST_BIND", address).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_bound = output.status.success();
    assert!(is_bound || text.contains("AddrInUse"), "{text}");
    is_bound
}

#[test]
fn leased_ports_are_kept_from_other_processes() {
    let _alone = alone();
    let Some(mut steering) = attach(&["127.0.0.1", "::1"], 1) else {
        return;
    };
    let Some(root) = cgroup_root() else {
        println!("skipped: no control groups of version 2");
        return;
    };
    let (leased, free) = (FIRST + 40, FIRST + 42);
    let slot = |address: &str, port| steering.slot(format!("{address}:{port}").parse().unwrap());
    let (v4, v6) = (
        slot("127.0.0.1", leased).unwrap(),
        slot("[::1]", leased).unwrap(),
    );
    assert!(steering.claim(v4));
    // Without the programs a socket on a leased port is possible.
    assert!(can_another_process_bind(&format!("127.0.0.1:{leased}")));

    steering.keep_from_others(&root).unwrap();
    for wanted in ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::]"] {
        let address = format!("{wanted}:{leased}");
        assert!(!can_another_process_bind(&address), "{address}");
    }
    for wanted in ["127.0.0.2", "[::1]"] {
        let address = format!("{wanted}:{leased}");
        assert!(can_another_process_bind(&address), "{address}");
    }
    for port in [0, free] {
        assert!(can_another_process_bind(&format!("0.0.0.0:{port}")));
    }
    // The owner may: it sends long datagrams so.
    drop(UdpSocket::bind(format!("127.0.0.1:{leased}")).unwrap());

    steering.close(v4);
    assert!(can_another_process_bind(&format!("0.0.0.0:{leased}")));
    assert!(steering.claim(v6));
    assert!(can_another_process_bind(&format!("0.0.0.0:{leased}")));
    assert!(!can_another_process_bind(&format!("[::]:{leased}")));
    drop(steering);
    assert!(can_another_process_bind(&format!("[::]:{leased}")));
}
