//! Proof that a client receives what is sent to its address, without a memory of it (RFC 6347
//! §4.2.1): the cookie of a HelloVerifyRequest is a MAC of the time, the client's address and random.
//!
//! The reply is shorter than any ClientHello, so nothing is amplified, and until a client comes back
//! with its cookie it has cost one MAC and no memory.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::{limits, wire};

/// Bytes of a cookie: what the library compares with.
pub(crate) const LEN: usize = 20;

/// The key of one session's cookies.
pub(crate) struct Cookies {
    key: hmac::Key,
    /// When the first was asked for; windows of time count from here.
    start: Option<Instant>,
}

impl Cookies {
    /// [`None`] if the system has no random numbers.
    pub(crate) fn new() -> Option<Self> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).ok()?;
        Some(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            start: None,
        })
    }

    pub(crate) fn cookie(&mut self, from: SocketAddr, random: &[u8], now: Instant) -> [u8; LEN] {
        let window = self.window(now);
        self.mac(window, from, random)
    }

    pub(crate) fn is_valid(
        &mut self,
        from: SocketAddr,
        random: &[u8],
        cookie: &[u8],
        now: Instant,
    ) -> bool {
        let window = self.window(now);
        let windows = [Some(window), window.checked_sub(1)];
        let is_of = |window| {
            let expected = self.mac(window, from, random);
            verify_slices_are_equal(&expected, cookie).is_ok()
        };
        windows.into_iter().flatten().any(is_of)
    }

    fn window(&mut self, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        let age = now.saturating_duration_since(start);
        age.as_secs() / limits::COOKIE_WINDOW.as_secs()
    }

    fn mac(&self, window: u64, from: SocketAddr, random: &[u8]) -> [u8; LEN] {
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(&window.to_be_bytes());
        match from.ip() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&from.port().to_be_bytes());
        mac.update(random);
        let mut cookie = [0; LEN];
        for (byte, mac) in cookie.iter_mut().zip(mac.sign().as_ref()) {
            *byte = *mac;
        }
        cookie
    }
}

/// The datagram that asks for `cookie`. It takes over the record's and the message's number, since
/// there is no memory to count in.
pub(crate) fn hello_verify_request(cookie: &[u8; LEN], sequence: u64, message: u16) -> Vec<u8> {
    // The version says nothing about what will be spoken; 1.0 is what every client takes.
    let mut body = wire::DTLS_1_0.to_be_bytes().to_vec();
    body.push(20);
    body.extend(cookie);
    let message = wire::message(wire::HELLO_VERIFY_REQUEST, message, &body);
    wire::record(wire::HANDSHAKE, wire::DTLS_1_0, 0, sequence, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_belongs_to_an_address_and_a_hello() {
        let (mut cookies, now) = (Cookies::new().unwrap(), start());
        let a: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let b: SocketAddr = "192.0.2.1:4001".parse().unwrap();
        let cookie = cookies.cookie(a, &[1; 32], now);
        assert!(cookies.is_valid(a, &[1; 32], &cookie, now));
        assert!(!cookies.is_valid(b, &[1; 32], &cookie, now));
        assert!(!cookies.is_valid(a, &[2; 32], &cookie, now));
        assert!(!cookies.is_valid(a, &[1; 32], &cookie[..19], now));
        let mut others = Cookies::new().unwrap();
        assert!(!others.is_valid(a, &[1; 32], &cookie, now));
    }

    #[test]
    fn cookie_expires() {
        let (mut cookies, now) = (Cookies::new().unwrap(), start());
        let a: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        cookies.cookie(a, &[0; 32], now);
        let second = std::time::Duration::from_secs(1);
        let cookie = cookies.cookie(a, &[1; 32], now + 59 * second);
        assert!(cookies.is_valid(a, &[1; 32], &cookie, now + 119 * second));
        assert!(!cookies.is_valid(a, &[1; 32], &cookie, now + 120 * second));
    }

    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn request_is_shorter_than_the_shortest_hello() {
        // Version, random, empty session id and cookie, one suite, one compression.
        let shortest = wire::RECORD_HEADER + wire::HANDSHAKE_HEADER + 2 + 32 + 1 + 1 + 4 + 2;
        assert!(hello_verify_request(&[0; LEN], 0, 0).len() < shortest);
    }
}
