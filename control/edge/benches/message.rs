//! Nanoseconds for what the edge does with one INVITE, without its tables.
//!
//! `cargo bench -p windlass-edge --bench message`. The INVITE has the size and headers of one that a
//! browser sends through another proxy (1.3 kB). *parse*: the table of headers and the fields that
//! routing needs, with a table that is used again. *forward*: parse, then Via, Record-Route pair and
//! Max-Forwards as splices, and the bytes that leave. *route*: parse, the checks of RFC 3261 §16.3, the
//! rule and the target by the real core, and the bytes that leave (spec §23, "parse + route +
//! serialise"). The figure is the median of the batches.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the room as it is in the crate, which exports none of it"
)]
#[path = "../src/message/mod.rs"]
mod message;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use message::limits::Limits;
use message::{HeaderId, Parsed, Splices};
use windlass_edge::measured::Passage;

/// Messages between two readings of the clock.
const BATCH: u32 = 256;
/// Batches of a figure.
const BATCHES: usize = 2000;

fn main() {
    let invite = invite();
    let limits = Limits::default();
    let mut parsed = Parsed::default();
    let mut splices = Splices::default();
    let mut out = Vec::new();
    println!("INVITE of {} bytes        ns", invite.len());
    let parse = median(|| {
        black_box(&mut parsed)
            .parse(black_box(&invite), &limits)
            .unwrap();
    });
    println!("parse                  {parse:>7.0}");
    let forward = median(|| {
        parsed.parse(black_box(&invite), &limits).unwrap();
        compose(&invite, &parsed, &mut splices, &mut out);
        black_box(Arc::<[u8]>::from(&out[..]));
    });
    println!("forward                {forward:>7.0}");
    let mut passage = Passage::new().unwrap();
    let (now, invite) = (Instant::now(), Arc::from(&invite[..]));
    let route = median(|| {
        black_box(passage.forward(now, black_box(&invite)).unwrap());
    });
    println!("route                  {route:>7.0}");
}

fn compose(bytes: &[u8], parsed: &Parsed, splices: &mut Splices, out: &mut Vec<u8>) {
    splices.clear();
    let via = parsed.headers.iter().find(|h| h.id == HeaderId::Via);
    let top = via.unwrap().row.from();
    let at = |id| {
        let row = parsed.headers.iter().find(|h| h.id == id);
        row.map_or(top, |row| row.row.from())
    };
    splices.insert(
        at(HeaderId::RecordRoute),
        &[
            b"Record-Route: <sip:198.51.100.10:5060;lr;r2=on;did=00.0123456789abcdef.0123456789abcdef>\r\n",
            b"Record-Route: <sip:10.0.0.10:5060;lr;r2=on;did=00.0123456789abcdef.0123456789abcdef>\r\n",
        ],
    );
    splices.insert(
        top,
        &[
            b"Via: SIP/2.0/UDP ",
            b"198.51.100.10:5060",
            b";rport;branch=",
            b"z9hG4bK000123456789abcdef0123456789abcdef0123456789abcdef",
            b"\r\n",
        ],
    );
    let (span, hops) = parsed.max_forwards.unwrap();
    splices.replace(span, &[(hops - 1).to_string().as_bytes()]);
    splices.render_into(bytes, parsed.body.to(), out);
}

fn median(mut one: impl FnMut()) -> f64 {
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..BATCH {
                one();
            }
            begin.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    *batches.get(BATCHES / 2).unwrap()
}

fn invite() -> Vec<u8> {
    let sdp = "v=0\r\no=- 3724394400 3724394405 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
        m=audio 41000 RTP/AVP 111 9 8 0 101\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
        a=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\na=rtcp:41001\r\na=ptime:20\r\n";
    format!(
        "INVITE sip:+15551234567@example.com;user=phone SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKd0c2.a81e93bb4f7f0d1a.0;rport\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:40312;received=198.51.100.7;branch=z9hG4bK-524287-1---7c1b;rport=40312\r\n\
         Record-Route: <sip:203.0.113.9;lr;ftag=8fd32b1c;did=a81.93b>\r\n\
         Max-Forwards: 69\r\nContact: <sip:alice@198.51.100.7:40312;transport=udp>;+sip.ice\r\n\
         To: <sip:+15551234567@example.com;user=phone>\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=8fd32b1c\r\n\
         Call-ID: 81542NmU1ODRiYmQ4ZGVmNDI5ZjA2OWQ3\r\nCSeq: 2 INVITE\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE\r\n\
         Content-Type: application/sdp\r\nSupported: replaces, norefersub, extended-refer, timer, outbound, path\r\n\
         User-Agent: Example Phone 5.6.4 rv2.10\r\nSession-Expires: 1800\r\nMin-SE: 90\r\nAllow-Events: presence, kpml\r\n\
         P-Preferred-Identity: <sip:alice@example.com>\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
    .into_bytes()
}
