//! What registered phones cost: the memory of 100,000 connections (spec §23).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::strange::{allow_files, connect};
use super::{Plan, listen};
use crate::common::is_long;
use crate::common::process::free_udp;

/// Phones with one address: an address may have 256 connections.
const PHONES: usize = 250;

/// A registrar that grants everything, until it is told to stop.
fn grant(socket: &UdpSocket, over: &AtomicBool) {
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut buffer = [0; 4096];
    while !over.load(Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..length]);
        if !text.starts_with("REGISTER ") {
            continue;
        }
        let mut answer = String::from("SIP/2.0 200 OK\r\n");
        let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Contact:"];
        for row in text.lines().filter(|row| !row.is_empty()) {
            if kept.iter().any(|name| row.starts_with(name)) {
                let end = match row.split(':').next() {
                    Some("To") => ";tag=r",
                    Some("Contact") => ";expires=3600",
                    _ => "",
                };
                answer.push_str(&format!("{row}{end}\r\n"));
            }
        }
        answer.push_str("Content-Length: 0\r\n\r\n");
        let _ = socket.send_to(answer.as_bytes(), from);
    }
}

/// Registers the phone behind a connection.
fn register(stream: &mut TcpStream, number: usize) {
    let at = stream.local_addr().unwrap();
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP {at};branch=z9hG4bKr{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:phone{number}@example.com>;tag=p\r\n\
         To: <sip:phone{number}@example.com>\r\nCall-ID: registration-{number}@{at}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:phone{number}@{at};transport=tcp;ob>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).unwrap();
}

#[test]
fn memory_of_registered_flows() {
    let addresses = if is_long() { 400 } else { 4 };
    let count = addresses * PHONES;
    // A process keeps half of its files for other things than connections.
    allow_files(if is_long() { 250_000 } else { 4096 });
    let [public, core, registrar] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let mut plan = Plan::new(
        "registered",
        vec![listen("tcp", public)],
        vec![listen("udp", core)],
        &format!("sip:{registrar}"),
    );
    plan.peers = "127.0.0.0/8";
    plan.more = "[register]\nmode = \"path\"\nmax_bindings = 200000\n".to_owned();
    let plan = plan.with_admin();
    let relay = plan.start();
    let empty = relay.process.rss_kib();
    let socket = UdpSocket::bind(registrar).unwrap();
    let over = AtomicBool::new(false);
    let phones = std::thread::scope(|scope| {
        scope.spawn(|| grant(&socket, &over));
        let phones = all_registered(public, addresses);
        over.store(true, Relaxed);
        phones
    });
    assert_eq!(phones.len(), count);
    let known = plan.ask_edge(&["regs", "list", "phone0@example.com"]);
    assert_eq!(
        known["registrations"].as_array().unwrap().len(),
        1,
        "{known}"
    );
    // Transactions linger for half a minute; what stays are the flows.
    if is_long() {
        std::thread::sleep(Duration::from_secs(40));
    }
    let full = relay.process.rss_kib();
    let each = (full - empty) * 1024 / u64::try_from(count).unwrap();
    println!(
        "{count} registered flows over TCP: {empty} KiB before, {full} KiB with them, {each} bytes each"
    );
    assert!(full < 600_000 || !is_long(), "spec §23 has 0.6 GB");
}

/// Connections from so many addresses, each of whose phones was granted its registration.
fn all_registered(edge: SocketAddr, addresses: usize) -> Vec<TcpStream> {
    let mut phones = Vec::new();
    for address in 0..addresses {
        let from = format!("127.1.{}.{}", address / 200, address % 200 + 1);
        let mut new = connect(&from, edge, PHONES);
        for (at, stream) in new.iter_mut().enumerate() {
            register(stream, address * PHONES + at);
        }
        for stream in &mut new {
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let mut answer = [0; 2048];
            let length = stream.read(&mut answer).unwrap();
            let text = String::from_utf8_lossy(&answer[..length]);
            assert!(text.starts_with("SIP/2.0 200 "), "{text}");
        }
        phones.extend(new);
    }
    phones
}
