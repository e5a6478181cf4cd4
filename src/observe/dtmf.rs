//! Notifications of detected digits: the JSON datagram for `dtmf-log-dest` (spec: media-behaviour
//! §11) and the message pushed to ng clients over TCP (spec: ng-protocol §1). Only the bytes;
//! sending is the caller's.

use std::net::IpAddr;

use windlass_ng::{Dict, Value};

/// A digit that a party pressed.
#[derive(Clone, Debug)]
pub struct DtmfReport<'a> {
    /// The call's id.
    pub call_id: &'a [u8],
    /// Tag of the party that pressed it.
    pub source_tag: &'a [u8],
    /// The party's label, if it has one.
    pub source_label: Option<&'a [u8]>,
    /// Tags of all parties of the call, the source's included.
    pub tags: &'a [&'a [u8]],
    /// Time of the digit, in s since 1970.
    pub timestamp_s: u64,
    /// Address that the packet came from.
    pub source_ip: IpAddr,
    /// RFC 4733 event code, 0–15.
    pub event: u8,
    /// Duration in ms.
    pub duration_ms: u32,
    /// Level below 0 dBm0, in dB: 0–63.
    pub volume: u8,
}

impl DtmfReport<'_> {
    /// The JSON datagram: one object without a line end; an absent label is an empty string.
    /// Bytes that are not UTF-8 are replaced.
    pub fn datagram(&self) -> Vec<u8> {
        Dict::new()
            .with("callid", self.call_id)
            .with("source_tag", self.source_tag)
            .with("source_label", self.source_label.unwrap_or_default())
            .with("tags", self.tags())
            .with("type", "DTMF")
            .with("timestamp", self.timestamp())
            .with("source_ip", self.source_ip())
            .with("event", i64::from(self.event))
            .with("duration", i64::from(self.duration_ms))
            .with("volume", i64::from(self.volume))
            .to_json()
    }

    /// The dictionary for ng clients; an absent label is left out.
    pub fn notification(&self) -> Dict {
        let mut data = Dict::new()
            .with("tags", self.tags())
            .with("callid", self.call_id)
            .with("source_tag", self.source_tag);
        if let Some(label) = self.source_label {
            data.push("source_label", label);
        }
        let data = data
            .with("type", "DTMF")
            .with("source_ip", self.source_ip())
            .with("timestamp", self.timestamp())
            .with("event", i64::from(self.event))
            .with("duration", i64::from(self.duration_ms))
            .with("volume", i64::from(self.volume));
        Dict::new().with("notify", "onDTMF").with("data", data)
    }

    /// The message to push over TCP: a cookie of 16 hex digits, a space, [`Self::notification`].
    /// `cookie` should be random.
    pub fn push(&self, cookie: u64) -> Vec<u8> {
        let mut out = format!("{cookie:016x} ").into_bytes();
        self.notification().write_bencode(&mut out);
        out
    }

    fn tags(&self) -> Value {
        self.tags.iter().copied().collect()
    }

    fn timestamp(&self) -> i64 {
        i64::try_from(self.timestamp_s).unwrap_or(i64::MAX)
    }

    fn source_ip(&self) -> String {
        self.source_ip.to_canonical().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DtmfReport<'static> {
        DtmfReport {
            call_id: b"redis1",
            source_tag: b"f",
            source_label: Some(b"caller"),
            tags: &[b"f", b"t"],
            timestamp_s: 1_795_187_669,
            source_ip: IpAddr::from([127, 0, 0, 1]),
            event: 5,
            duration_ms: 60,
            volume: 10,
        }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_datagram_is_the_one_seen_on_the_wire() {
        assert_eq!(
            text(report().datagram()),
            "{\"callid\":\"redis1\",\"source_tag\":\"f\",\"source_label\":\"caller\",\
             \"tags\":[\"f\",\"t\"],\"type\":\"DTMF\",\"timestamp\":1795187669,\
             \"source_ip\":\"127.0.0.1\",\"event\":5,\"duration\":60,\"volume\":10}"
        );
    }

    #[test]
    fn names_are_escaped_and_an_absent_label_is_empty() {
        let datagram = text(
            DtmfReport {
                call_id: b"a\"b\\c\n\x01\xff",
                source_label: None,
                source_ip: "::ffff:192.0.2.1".parse().unwrap(),
                ..report()
            }
            .datagram(),
        );
        assert!(
            datagram.starts_with(
                "{\"callid\":\"a\\\"b\\\\c\\n\\u0001\u{fffd}\",\"source_tag\":\"f\",\
                 \"source_label\":\"\","
            ),
            "{datagram}"
        );
        assert!(datagram.contains("\"source_ip\":\"192.0.2.1\""));
        assert!(serde_json::from_str::<serde_json::Value>(&datagram).is_ok());
    }

    #[test]
    fn the_push_is_a_cookie_and_a_dictionary() {
        let data = "d4:tagsl1:f1:te6:callid6:redis110:source_tag1:f12:source_label6:caller\
                    4:type4:DTMF9:source_ip9:127.0.0.19:timestampi1795187669e5:eventi5e\
                    8:durationi60e6:volumei10ee";
        assert_eq!(
            text(report().push(0x1f)),
            format!("000000000000001f d6:notify6:onDTMF4:data{data}e")
        );
        let unlabelled = DtmfReport {
            source_label: None,
            ..report()
        };
        assert_eq!(
            text(unlabelled.push(u64::MAX)),
            format!(
                "ffffffffffffffff d6:notify6:onDTMF4:data{}e",
                data.replace("12:source_label6:caller", "")
            )
        );
    }
}
