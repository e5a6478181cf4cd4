//! What must hold for every input, one function per fuzz target.

mod calls;
mod chain;
mod relay;
mod secure;
mod store;

use std::time::{Duration, Instant};

use windlass::media::dtmf::{Detector, Digit, TelephoneEvent, Trigger};
use windlass::media::rtp::{RtpHeader, payload_mut, set_sequence};
use windlass::media::{demux, extension, rtcp};
use windlass_ng::limits::REQUEST_ELEMENTS;
use windlass_ng::{Templates, bencode as bencoding, json as json_text, read_request};
use windlass_sdp::write::{self, Carry, RtcpLine};
use windlass_sdp::{ParseOptions, SessionDescription};

pub use calls::calls;
pub use chain::chain;
pub use secure::{dtls_record, ice_agent, srtp_unprotect, stun};
pub use store::journal;
// The edge keeps its messages to itself: what must hold for them is written there.
pub use windlass_edge::fuzzing::{
    sip_body, sip_digest, sip_message, sip_name_addr, sip_stream, sip_token, sip_uri,
};

/// What decodes is written and decodes again to the same.
pub fn bencode(data: &[u8]) {
    let Ok(tape) = bencoding::decode(data, REQUEST_ELEMENTS) else {
        return;
    };
    let dict = tape.root().to_dict();
    let text = dict.to_bencode();
    assert_eq!(text.len(), dict.bencode_len());
    let again = bencoding::decode(&text, REQUEST_ELEMENTS).expect("what was written decodes");
    assert_eq!(again.root().to_dict().to_bencode(), text);
    let _ = read_request(data, &Templates::new());
}

/// What decodes is written as JSON that decodes again to the same.
pub fn json(data: &[u8]) {
    let Ok(tape) = json_text::decode(data, REQUEST_ELEMENTS) else {
        return;
    };
    let text = tape.root().to_dict().to_json();
    let again = json_text::decode(&text, REQUEST_ELEMENTS).expect("what was written decodes");
    assert_eq!(again.root().to_dict().to_json(), text);
    let _ = read_request(data, &Templates::new());
}

/// A string of options, in a request and as a template that may name itself.
pub fn rtpp_flags(data: &[u8]) {
    let mut request = windlass_ng::Dict::new()
        .with("command", "offer")
        .with("call-id", "c")
        .with("from-tag", "f");
    request.push("rtpp-flags", data);
    let _ = read_request(&request.to_bencode(), &Templates::new());
    let templates: Templates = [("offer", data), ("default", b"template=offer"), ("x", data)]
        .into_iter()
        .collect();
    let _ = read_request(b"d7:command5:offer8:template1:xe", &templates);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = templates.check(text);
    }
}

/// What is read is printed, and that is read and printed as the same.
pub fn sdp(data: &[u8]) {
    for fragment in [false, true] {
        let options = ParseOptions {
            fragment,
            ..ParseOptions::default()
        };
        let Ok(received) = SessionDescription::parse(data, options) else {
            continue;
        };
        for carry in [Carry::Reference, Carry::All] {
            let once = reprint(&received, carry);
            let read = SessionDescription::parse(&once, ParseOptions::default())
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&once)));
            let twice = reprint(&read, carry);
            assert_eq!(
                String::from_utf8_lossy(&once),
                String::from_utf8_lossy(&twice)
            );
        }
    }
}

fn reprint(received: &SessionDescription, carry: Carry) -> Vec<u8> {
    let mut session = write::Session::carried(received, carry);
    for source in &received.media {
        let mut media = write::Media::carried(source, carry);
        media.connection = received.address_of(source).ok();
        media.rtcp = source.rtcp.map(|rtcp| RtcpLine {
            port: rtcp.port,
            full: rtcp.address,
        });
        media.rtcp_mux = source.rtcp_mux;
        media.crypto.clone_from(&source.crypto);
        media.setup = source.setup;
        media.fingerprint.clone_from(&source.fingerprint);
        media.tls_id.clone_from(&source.tls_id);
        media.ice_ufrag.clone_from(&source.ice.ufrag);
        media.ice_pwd.clone_from(&source.ice.pwd);
        media.ice_options.clone_from(&source.ice.options);
        if media.verbatim.is_none() {
            media.candidates.clone_from(&source.ice.candidates);
            media.end_of_candidates = source.ice.end_of_candidates;
        }
        session.media.push(media);
    }
    session.to_bytes()
}

/// A stream of datagrams, each after a byte with its length.
pub fn packets(data: &[u8]) {
    let mut detector = Detector::default();
    let mut trigger = Trigger::new("1*#", Duration::from_millis(100));
    #[expect(
        clippy::disallowed_methods,
        reason = "the targets need a start of time"
    )]
    let mut now = Instant::now();
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (datagram, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        now += Duration::from_millis(20);
        let _ = (demux::protocol(datagram), rtcp::is_compound(datagram));
        let mut packet = datagram.to_vec();
        let _ = (
            extension::is_present(datagram),
            extension::element(datagram, 1),
        );
        let Ok(header) = RtpHeader::parse(datagram) else {
            continue;
        };
        let mut made = Vec::new();
        for form in [extension::Form::OneByte, extension::Form::TwoByte] {
            let elements = extension::Elements::of(datagram, &header);
            extension::write(datagram, &header, elements, form, &mut made);
        }
        set_sequence(&mut packet, header.sequence.wrapping_add(1));
        assert!(payload_mut(&mut packet, &header).is_some());
        let payload = &datagram[header.payload_at..];
        if let Some(event) = TelephoneEvent::parse(payload) {
            assert_eq!(TelephoneEvent::parse(&event.encode()), Some(event));
            if let (Some(digit), Some(trigger)) = (Digit::from_code(event.code), trigger.as_mut()) {
                trigger.on_digit(digit, now);
            }
        }
        let clock_rate = [0, 8000, 48_000][usize::from(header.payload_type) % 3];
        detector.on_packet(payload, header.timestamp, header.marker, clock_rate);
    }
    detector.flush();
}
