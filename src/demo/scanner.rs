//! A scanner that looks for phones and passwords while the demo's call goes on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::nat::Line;
use super::now;
use super::phone::token;
use super::sip::{Message, host_port};

/// What scanners ask for first.
const METHODS: [&str; 3] = ["OPTIONS", "REGISTER", "INVITE"];

/// How long the scanner waits for answers to all that it sent.
const PATIENCE: Duration = Duration::from_millis(400);

/// The name that the most usual tool gives itself.
const USER_AGENT: &str = "friendly-scanner";

/// What a scanner got out of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ScanReport {
    /// Its source.
    pub source: SocketAddr,
    /// Requests that it sent.
    pub requests: u64,
    /// Answers that it got.
    pub answers: u64,
}

/// Scans an edge from an address of its own where the host has one.
pub(super) fn scan(edge: SocketAddr, other: IpAddr) -> io::Result<ScanReport> {
    let own = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
    let line = match edge.ip().is_loopback() {
        true => Line::direct(own).or_else(|_| Line::direct(other))?,
        false => Line::direct(other)?,
    };
    for method in METHODS {
        line.send_to(&request(method, line.believed(), edge).bytes(), edge)?;
    }
    let until = now() + PATIENCE;
    let mut buffer = vec![0; 65_536];
    let mut answers = 0;
    while let Some(left) = until.checked_duration_since(now()) {
        if line.receive(&mut buffer, left)?.is_some() {
            answers += 1;
        }
    }
    Ok(ScanReport {
        source: line.believed(),
        requests: METHODS.len() as u64,
        answers,
    })
}

fn request(method: &str, from: SocketAddr, edge: SocketAddr) -> Message {
    let host = host_port(from);
    let target = format!("sip:100@{}", host_port(edge));
    Message::new(format!("{method} {target} SIP/2.0"))
        .with(
            "Via",
            format!("SIP/2.0/UDP {host};rport;branch=z9hG4bK{}", token()),
        )
        .with("Max-Forwards", "70")
        .with("From", format!("<sip:100@{host}>;tag={}", token()))
        .with("To", format!("<{target}>"))
        .with("Call-ID", token())
        .with("CSeq", format!("1 {method}"))
        .with("Contact", format!("<sip:100@{host}>"))
        .with("User-Agent", USER_AGENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let open = Line::direct(loopback).unwrap();
        let edge = open.believed();
        let answering = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            for method in METHODS {
                let wait = Duration::from_secs(5);
                let (bytes, from) = open.receive(&mut buffer, wait).unwrap().unwrap();
                let request = Message::parse(bytes).unwrap();
                assert_eq!(request.method(), Some(method));
                let answer = request.response("200 OK", "x");
                open.send_to(&answer.bytes(), from).unwrap();
            }
        });
        let report = scan(edge, loopback).unwrap();
        answering.join().unwrap();
        assert_eq!((report.requests, report.answers), (3, 3));
    }
}
