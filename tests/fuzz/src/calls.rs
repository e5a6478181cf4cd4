//! Sequences of requests on a few calls, decoded from bytes.

use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

use windlass_ng::{Dict, Templates, Value, read_request};
use windlass_sdp::{MediaKind, ParseOptions, SessionDescription};

use crate::relay::{PORTS, Relay};

/// Requests of one input.
const MAX_REQUESTS: usize = 64;

/// Either whole payloads with a byte 0xff between them, or a program that makes requests.
pub fn calls(data: &[u8]) {
    let mut relay = Relay::new();
    if matches!(data.first(), Some(b'd' | b'{')) {
        for payload in data.split(|byte| *byte == 0xff).take(MAX_REQUESTS) {
            serve(&mut relay, payload, true);
        }
    } else {
        let mut program = Program(data);
        for _ in 0..MAX_REQUESTS {
            let Some(step) = program.byte() else { break };
            if step >= 0xf8 {
                let seconds = [1, 5, 31, 70, 4000][usize::from(step) % 5];
                relay.wait(Duration::from_secs(seconds));
                continue;
            }
            let request = program.request(step);
            // One address for all interfaces makes their ports look alike.
            let is_free = request.get("media-address").is_some();
            serve(&mut relay, &request.to_bencode(), is_free);
        }
    }
    relay.end();
}

/// `is_free`: the request may itself have put anything into the SDP.
fn serve(relay: &mut Relay, payload: &[u8], is_free: bool) {
    let (Ok(request), _) = read_request(payload, &Templates::new()) else {
        return;
    };
    let reply = relay.ask(&request);
    if let Some(Value::Bytes(sdp)) = reply.get("sdp")
        && !is_free
        && !sdp.is_empty()
    {
        check(sdp);
    }
}

/// What is printed can be read, and no two medias are on one port but in a bundle.
fn check(text: &[u8]) {
    let shown = String::from_utf8_lossy(text);
    let options = ParseOptions {
        reject_invalid: true,
        ..ParseOptions::default()
    };
    let sdp = SessionDescription::parse(text, options)
        .unwrap_or_else(|error| panic!("{error}:\n{shown}"));
    let grouped: HashSet<_> = sdp.bundle_groups().flatten().collect();
    let mut ports = HashSet::new();
    let mut before = None;
    for media in &sdp.media {
        let is_ours = (PORTS.0..=PORTS.1).contains(&media.port);
        // A media may be offered twice, as RTP and as SRTP.
        let is_twin = before == Some((media.port, media.kind));
        before = Some((media.port, media.kind));
        let is_grouped = media.mid.as_ref().is_some_and(|mid| grouped.contains(mid));
        if !is_ours || media.kind == MediaKind::Message {
            continue;
        }
        let address = sdp.address_of(media).expect("an address for every media");
        let is_held = address.is_unspecified();
        if !is_grouped && !is_twin && !is_held {
            assert!(
                ports.insert((address, media.port)),
                "a port twice:\n{shown}"
            );
        }
    }
}

/// Bytes that say what to do next; at their end, zeros.
struct Program<'a>(&'a [u8]);

impl Program<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn pick<'t, T: ?Sized>(&mut self, list: &[&'t T]) -> &'t T {
        list[usize::from(self.byte().unwrap_or(0)) % list.len()]
    }

    /// One bit in `of`, on average.
    fn now_and_then(&mut self, of: u8) -> bool {
        self.byte().is_some_and(|byte| byte % of == 1)
    }

    fn request(&mut self, step: u8) -> Dict {
        let command = match step {
            0..100 => "offer",
            100..180 => "answer",
            _ => COMMANDS[usize::from(step) % COMMANDS.len()],
        };
        let mut request = Dict::new()
            .with("command", command)
            .with("call-id", self.pick(&["one", "one", "one", "two"]))
            .with("from-tag", self.pick(TAGS));
        if command == "answer" || self.now_and_then(2) {
            request.push("to-tag", self.pick(TAGS));
        }
        if self.now_and_then(3) {
            request.push("via-branch", self.pick(&["b1", "b2", "b3"]));
        }
        let has_sdp = matches!(
            command,
            "offer" | "answer" | "publish" | "subscribe answer" | "create answer"
        );
        if has_sdp {
            request.push("sdp", self.sdp());
        }
        let options = self.byte().unwrap_or(0) % 6;
        for _ in 0..options {
            let (key, values) = OPTIONS[usize::from(self.byte().unwrap_or(0)) % OPTIONS.len()];
            let value = self.pick(values);
            if key == "codec" {
                let (operation, codec) = value.split_once(' ').unwrap_or((value, "PCMA"));
                let list = Value::List(vec![codec.into()]);
                request.push(key, Dict::new().with(operation, list));
            } else {
                request.push(key, value);
            }
        }
        request
    }

    fn sdp(&mut self) -> String {
        let host = self.pick(&["198.51.100.10", "198.51.100.20", "0.0.0.0", "192.168.0.9"]);
        let mut sdp =
            format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n");
        let mut session = String::new();
        for _ in 0..self.byte().unwrap_or(0) % 3 {
            write!(session, "{}\r\n", self.pick(SESSION_LINES)).expect("a string grows");
        }
        sdp.push_str(&session);
        for number in 0..self.byte().unwrap_or(0) % 5 {
            let port = self.pick(&["2000", "2000", "2002", "4000", "9", "0"]);
            let (kind, rest) = self
                .pick(MEDIAS)
                .split_once(' ')
                .expect("a kind and the rest");
            write!(sdp, "m={kind} {port} {rest}\r\n").expect("a string grows");
            if self.now_and_then(2) {
                write!(sdp, "a=mid:{number}\r\n").expect("a string grows");
            }
            for _ in 0..self.byte().unwrap_or(0) % 8 {
                write!(sdp, "{}\r\n", self.pick(MEDIA_LINES)).expect("a string grows");
            }
        }
        sdp
    }
}

const TAGS: &[&str] = &["F", "T", "U", "S"];

const COMMANDS: &[&str] = &[
    "delete",
    "query",
    "publish",
    "subscribe request",
    "subscribe answer",
    "unsubscribe",
    "connect",
    "mesh",
    "inject start",
    "inject stop",
    "create",
    "create answer",
    "block media",
    "unblock media",
    "silence media",
    "block DTMF",
    "play DTMF",
    "statistics",
    "list",
];

const SESSION_LINES: &[&str] = &[
    "a=group:BUNDLE 0 1 2",
    "a=group:BUNDLE 1 0",
    "a=ice-lite",
    "a=ice-ufrag:wxyz",
    "a=sendonly",
    "a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33",
    "c=IN IP4 198.51.100.30",
    "v=0",
];

const MEDIAS: &[&str] = &[
    "audio RTP/AVP 8 0 101",
    "audio RTP/AVP 8",
    "audio RTP/SAVP 8",
    "audio RTP/SAVPF 111 8",
    "audio UDP/TLS/RTP/SAVPF 111 8",
    "video RTP/AVP 96",
    "video UDP/TLS/RTP/SAVPF 96",
    "image udptl t38",
    "message TCP/MSRP *",
    "application UDP/DTLS/SCTP webrtc-datachannel",
    "audio FOO/BAR 8 0",
];

const MEDIA_LINES: &[&str] = &[
    "a=sendonly",
    "a=recvonly",
    "a=inactive",
    "a=rtcp-mux",
    "a=rtcp:2000",
    "a=rtcp:2009 IN IP4 10.0.0.1",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx",
    "a=ice-pwd:zyxwvutsrqponmlkjihgfedc",
    "a=ice-options:trickle",
    "a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host",
    "a=candidate:1 2 UDP 1 198.51.100.10 2001 typ host",
    "a=end-of-candidates",
    "a=setup:actpass",
    "a=setup:active",
    "a=setup:passive",
    "a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
    "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4",
    "a=crypto:4294967295 AEAD_AES_128_GCM inline:4+0cZvsu2XvW1W/xZt7jaW4uW9OC1PY31o8q9w",
    "a=rtpmap:96 H264/90000",
    "a=rtpmap:101 telephone-event/8000",
    "a=rtpmap:111 opus/48000/2",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=ptime:20",
    "c=IN IP6 2001:db8::99",
    "a=mid:1",
    "a=bundle-only",
];

/// Keys that take a string, or a list as one string.
const OPTIONS: &[(&str, &[&str])] = &[
    (
        "ICE",
        &[
            "remove",
            "force",
            "default",
            "optional",
            "force-relay",
            "trickle",
            "ice2",
            "lite-both",
        ],
    ),
    (
        "rtcp-mux",
        &[
            "offer",
            "require",
            "demux",
            "accept",
            "reject",
            "offer,reject",
            "demux,accept",
        ],
    ),
    (
        "BUNDLE",
        &[
            "accept",
            "offer",
            "require",
            "strict",
            "reject",
            "accept,require",
        ],
    ),
    (
        "SDES",
        &[
            "off",
            "nonew",
            "lifetime",
            "pad",
            "static",
            "prefer",
            "unencrypted_srtp",
            "only-AES_CM_128_HMAC_SHA1_32",
            "order:AES_CM_128_HMAC_SHA1_32",
        ],
    ),
    ("DTLS", &["off", "passive", "active"]),
    (
        "OSRTP",
        &["offer", "offer-legacy", "accept", "accept-legacy"],
    ),
    (
        "transport-protocol",
        &[
            "RTP/AVP",
            "RTP/SAVP",
            "RTP/SAVPF",
            "UDP/TLS/RTP/SAVPF",
            "udptl",
            "accept",
        ],
    ),
    (
        "flags",
        &[
            "reset",
            "generate-mid",
            "trust-address",
            "SIP-source-address",
            "port-latching",
            "no-port-latching",
            "WebRTC",
            "fragment",
            "ICE-reject",
            "original-sendrecv",
            "loop-protect",
            "directional",
            "bidirectional",
            "to-tag",
            "all",
            "inactive",
            "egress",
            "SIPREC",
            "new-branch",
            "strip-extmap",
            "allow-no-codec-media",
            "single-codec",
            "no-tls-id",
            "unsubscribe",
        ],
    ),
    (
        "replace",
        &[
            "origin",
            "origin-full",
            "SDP-version",
            "force-increment-sdp-ver",
            "zero-address",
            "session-name",
            "username",
        ],
    ),
    ("direction", &["ext,int", "int,ext", "ext,ext", "none,int"]),
    ("address-family", &["IP4", "IP6"]),
    (
        "sdp-media-remove",
        &["audio", "video", "message,image", "other"],
    ),
    ("media-echo", &["blackhole", "forward", "backward", "both"]),
    ("received-from", &["192.0.2.99"]),
    ("media-address", &["192.0.2.77"]),
    ("delete-delay", &["0", "0", "10", "100000000000"]),
    ("from-tags", &["F,T", "T,T,U", "S"]),
    ("to-call-id", &["one", "two"]),
    ("calls", &["one,two", "two"]),
    ("source-tag", &["F", "T", "S"]),
    ("source-call-id", &["one", "two"]),
    (
        "all",
        &["all", "offer-answer", "flows", "except-offer-answer"],
    ),
    (
        "codec",
        &[
            "strip PCMA",
            "strip all",
            "offer PCMU",
            "mask all",
            "ignore PCMA",
            "except PCMA",
            "transcode opus",
        ],
    ),
    ("alias-key", &["SDP", "address"]),
    ("passthrough", &["on", "off"]),
    ("set-label", &["L"]),
    ("label", &["L", "M"]),
    ("digit", &["1", "#", "99"]),
    ("ptime", &["20", "40"]),
    ("DTLS-fingerprint", &["sha-1", "sha-512"]),
    ("drop-traffic", &["start", "stop"]),
    ("SIP-message-type", &["reply"]),
    ("SIP-code", &["200", "183"]),
];
