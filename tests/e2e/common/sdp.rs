//! SDP of the tests' phones.

use std::net::{IpAddr, SocketAddr};

/// An offer or answer of a phone with one audio stream.
pub(crate) fn audio(at: SocketAddr, more: &str) -> String {
    let family = if at.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n{more}",
        ip = at.ip(),
        port = at.port()
    )
}

/// Where an SDP wants the media of its n-th m= line (from 0).
pub(crate) fn address(sdp: &str, line: usize) -> SocketAddr {
    let media = sdp
        .split("\r\nm=")
        .nth(line + 1)
        .unwrap_or_else(|| panic!("no m= line: {sdp}"));
    let port: u16 = media.split(' ').nth(1).unwrap().parse().unwrap();
    let session = sdp.split("\r\nm=").next().unwrap();
    let connection = [media, session]
        .into_iter()
        .find_map(|part| part.split("\r\nc=IN IP").nth(1));
    let address = connection
        .unwrap()
        .get(2..)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)
}
