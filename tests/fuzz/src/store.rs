//! The journal of calls, whatever is in its files.

use std::collections::BTreeMap;

use windlass_store::cbor;
use windlass_store::journal::scan::{Log, Newest, SegmentBytes};
use windlass_store::record::{Call, Ended, Handover, Header, Kind, Leg, Segment, units};

const NONCE: u64 = 0x0123_4567_89ab_cdef;

/// A segment of bytes, and one of right records whose bodies are the input: the first bytes say
/// which, and what is damaged afterwards. Damage touches one record, and no call comes out of it
/// that was never written.
pub fn journal(data: &[u8]) {
    let [mode, rest @ ..] = data else { return };
    match mode % 3 {
        0 => raw(rest),
        1 => bodies(rest),
        _ => damaged(rest),
    }
}

fn raw(data: &[u8]) {
    let log = Log {
        segments: vec![SegmentBytes::new(0, data.to_vec())],
    };
    let _ = log.newest();
    for (header, body) in log.records() {
        assert_eq!(header.len, body.len());
    }
}

fn bodies(data: &[u8]) {
    if let Ok(fields) = cbor::fields(data) {
        for (key, value) in fields {
            let _ = cbor::Field(key, value).uints();
            let _ = cbor::Field(key, value).list();
        }
    }
    let _ = (Call::decode(data), Leg::decode(data), Ended::decode(data));
    let _ = (Segment::decode(data), Handover::decode(data));
    let mut bytes = Vec::new();
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        append(&mut bytes, kind, at as u64 % 2, data);
    }
    let log = Log {
        segments: vec![SegmentBytes::new(0, bytes)],
    };
    // What the first one says of the segment's nonce is believed.
    let other = Segment::decode(data).is_ok_and(|first| ![0, NONCE].contains(&first.nonce));
    if !other {
        assert_eq!(log.records().count(), Kind::ALL.len());
    }
    let _ = log.newest();
}

/// Two bytes of damage (place, change), then states, each behind its call and length.
fn damaged(data: &[u8]) {
    let [place, place_low, change, states @ ..] = data else {
        return;
    };
    let mut rest = states;
    let mut bytes = Vec::new();
    append(&mut bytes, Kind::Settings, 0, b"");
    let mut written: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let mut count = 1;
    while let [call, len, more @ ..] = rest {
        let (state, more) = more.split_at(usize::from(*len).min(more.len()));
        let mut body = vec![0xa1, 1, 0x58, u8::try_from(state.len()).unwrap_or(0)];
        body.extend_from_slice(state);
        let call = u64::from(*call % 8);
        append(&mut bytes, Kind::Call, call, &body);
        written.entry(call).or_default().push(state.to_vec());
        count += 1;
        rest = more;
    }
    let at = usize::from(u16::from_be_bytes([*place, *place_low])) % bytes.len();
    bytes[at] ^= change;
    let log = Log {
        segments: vec![SegmentBytes::new(0, bytes)],
    };
    // The nonce of the first says which life it is: without it there is none.
    if at >= 8 {
        assert!(log.records().count() + 1 >= count);
    }
    for (call, newest) in log.newest().calls {
        let Newest::Live(live) = newest else {
            panic!("none has ended");
        };
        let states = &written[&call];
        let from_end = states
            .iter()
            .rev()
            .position(|state| state == live.call.state);
        let from_end = from_end.expect("a state that was written");
        assert!(from_end <= 1 || states[states.len() - 2..].contains(&live.call.state.to_vec()));
    }
}

fn append(bytes: &mut Vec<u8>, kind: Kind, call: u64, body: &[u8]) {
    let header = Header {
        len: body.len(),
        number: (bytes.len() / 64) as u64,
        call,
        kind,
        format: 1,
    };
    let end = bytes.len() + usize::try_from(units(body.len())).expect("small") * 64;
    bytes.extend_from_slice(&header.write(NONCE, body));
    bytes.resize(end, 0);
}
