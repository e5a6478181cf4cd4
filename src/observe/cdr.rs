//! The call detail record: one line at the end of a call, in the form that log collectors of
//! rtpengine parse (spec: media-behaviour §16). A pure function of plain data.

use std::fmt::{self, Display, Write};
use std::net::SocketAddr;
use std::time::Duration;

use windlass_ng::shown::{Escape, needs_escape};

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// The call's id.
    pub call_id: String,
    /// Control client that created it.
    pub created_from: SocketAddr,
    /// Time of the last signalling, in s since 1970.
    pub last_signal_s: u64,
    /// Type of service of its packets, 0–255.
    pub tos: u8,
    /// Its parties, in order of creation.
    pub parties: Vec<PartyRecord>,
}

/// A party of the call.
#[derive(Clone, Debug)]
pub struct PartyRecord {
    /// Start of the party, as time since 1970.
    pub start: Duration,
    /// End of the party, as time since 1970.
    pub end: Duration,
    /// Reason of the end.
    pub termination: Termination,
    /// Its own tag; `None`: it never answered.
    pub local_tag: Option<String>,
    /// Side of the dialogue.
    pub local_tag_type: TagType,
    /// The tag of the party that it talks to, if that has one.
    pub remote_tag: Option<String>,
    /// Its medias, in the order of the SDP.
    pub medias: Vec<MediaRecord>,
}

/// A media of a party.
#[derive(Clone, Debug)]
pub struct MediaRecord {
    /// Index of the media in the SDP, from 1.
    pub index: u32,
    /// Payload type of most packets.
    pub payload_type: Option<u8>,
    /// Its streams: RTP, then RTCP. RTCP that was muxed is left out by the caller.
    pub streams: Vec<StreamRecord>,
}

/// A stream of a media.
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord {
    /// RTP or RTCP.
    pub kind: StreamKind,
    /// Destination of its media, if known.
    pub endpoint: Option<SocketAddr>,
    /// Our port that it used.
    pub local: SocketAddr,
    /// Packets received and relayed.
    pub relayed_packets: u64,
    /// Bytes received and relayed.
    pub relayed_bytes: u64,
    /// Packets that could not be relayed.
    pub relayed_errors: u64,
    /// Time of the last packet, in s since 1970; 0 if there was none.
    pub last_packet_s: u64,
    /// Type of service of the packets received.
    pub in_tos: u8,
}

/// Kind of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Media.
    Rtp,
    /// Its reports.
    Rtcp,
}

/// Side of a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagType {
    /// The caller.
    From,
    /// A callee.
    To,
    /// A callee that never answered.
    Unknown,
}

/// Reasons for the end of a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// The call reached its greatest age.
    FinalTimeout,
    /// An operator ended it.
    Forced,
    /// The offer was not answered.
    OfferTimeout,
    /// The proxy deleted it.
    Regular,
    /// Nothing came from a party that was on hold.
    SilentTimeout,
    /// No media came.
    Timeout,
    /// Any other reason.
    Unknown,
}

impl CallRecord {
    /// The line, without a line end; it ends with a comma and a space. Control characters in names
    /// are escaped, so that it stays one line.
    pub fn line(&self) -> String {
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut line);
        line
    }

    /// The tags of all parties that have one.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let parties = self.parties.iter();
        parties.filter_map(|party| party.local_tag.as_deref())
    }

    /// From-tag and to-tag of each dialogue: one per callee, or one for a caller without an answer.
    pub fn dialogues(&self) -> Vec<(&str, &str)> {
        let of = |wanted| {
            let parties = self.parties.iter();
            let parties = parties.filter(move |party| party.local_tag_type == wanted);
            parties.map(|party| {
                let [local, remote] =
                    [&party.local_tag, &party.remote_tag].map(|tag| tag.as_deref());
                (local.unwrap_or_default(), remote.unwrap_or_default())
            })
        };
        let mut pairs: Vec<(&str, &str)> = of(TagType::To)
            .map(|(callee, caller)| (caller, callee))
            .collect();
        if pairs.is_empty() {
            pairs.extend(of(TagType::From));
        }
        pairs
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        write!(out, "ci={}, ", Name(&self.call_id))?;
        write!(out, "created_from={}, ", canonical(self.created_from))?;
        write!(out, "last_signal={}, ", self.last_signal_s)?;
        write!(out, "tos={}, ", self.tos)?;
        for (index, party) in self.parties.iter().enumerate() {
            party.write(index, out)?;
        }
        Ok(())
    }
}

impl PartyRecord {
    fn write(&self, party: usize, out: &mut String) -> fmt::Result {
        let duration = self.end.saturating_sub(self.start);
        let mut field = |name: &str, value: &dyn Display| write!(out, "ml{party}_{name}={value}, ");
        field("start_time", &Micros(self.start))?;
        field("end_time", &Micros(self.end))?;
        field("duration", &Micros(duration))?;
        field("termination", &self.termination)?;
        field("local_tag", &Name(tag(&self.local_tag)))?;
        field("local_tag_type", &self.local_tag_type)?;
        field("remote_tag", &Name(tag(&self.remote_tag)))?;
        for media in &self.medias {
            match media.payload_type {
                Some(payload_type) => write!(out, "payload_type={payload_type}, ")?,
                None => out.push_str("payload_type=unknown, "),
            }
            for stream in &media.streams {
                stream.write(party, media.index, out)?;
            }
        }
        Ok(())
    }
}

impl StreamRecord {
    fn write(&self, party: usize, media: u32, out: &mut String) -> fmt::Result {
        let kind = match self.kind {
            StreamKind::Rtp => "rtp",
            StreamKind::Rtcp => "rtcp",
        };
        let (endpoint, local) = (self.endpoint.map(canonical), canonical(self.local));
        let mut field = |name: &str, value: &dyn Display| {
            write!(out, "ml{party}_midx{media}_{kind}_{name}={value}, ")
        };
        match endpoint {
            Some(endpoint) => field("endpoint_ip", &endpoint.ip())?,
            None => field("endpoint_ip", &"")?,
        }
        field("endpoint_port", &endpoint.map_or(0, |to| to.port()))?;
        field("local_relay_ip", &local.ip())?;
        field("local_relay_port", &local.port())?;
        field("relayed_packets", &self.relayed_packets)?;
        field("relayed_bytes", &self.relayed_bytes)?;
        field("relayed_errors", &self.relayed_errors)?;
        field("last_packet", &self.last_packet_s)?;
        field("in_tos_tclass", &self.in_tos)
    }
}

impl Display for TagType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::From => "FROM_TAG",
            Self::To => "TO_TAG",
            Self::Unknown => "UNKNOWN",
        })
    }
}

impl Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FinalTimeout => "FINAL_TIMEOUT",
            Self::Forced => "FORCED",
            Self::OfferTimeout => "OFFER_TIMEOUT",
            Self::Regular => "REGULAR",
            Self::SilentTimeout => "SILENT_TIMEOUT",
            Self::Timeout => "TIMEOUT",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// Form of a tag in the line.
fn tag(tag: &Option<String>) -> &str {
    tag.as_deref().unwrap_or("(null)")
}

/// Seconds with six decimals.
struct Micros(Duration);

impl Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

/// A name from signalling, kept on its line.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if needs_escape(letter) {
                write!(f, "{}", Escape(letter))?;
            } else {
                f.write_char(letter)?;
            }
        }
        Ok(())
    }
}

/// An IPv4 address that a socket of both families wrote as IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(kind: StreamKind, port: u16) -> StreamRecord {
        StreamRecord {
            kind,
            endpoint: Some(SocketAddr::new([198, 51, 100, 2].into(), port)),
            local: SocketAddr::new([203, 0, 113, 1].into(), 30_000 + port % 2),
            relayed_packets: 10,
            relayed_bytes: 1720,
            relayed_errors: 1,
            last_packet_s: 1_795_187_669,
            in_tos: 184,
        }
    }

    fn record() -> CallRecord {
        let caller = PartyRecord {
            start: Duration::new(1_795_187_600, 5_000),
            end: Duration::new(1_795_187_670, 250_000_999),
            termination: Termination::Regular,
            local_tag: Some("f".to_owned()),
            local_tag_type: TagType::From,
            remote_tag: Some("t".to_owned()),
            medias: vec![MediaRecord {
                index: 1,
                payload_type: Some(8),
                streams: vec![
                    stream(StreamKind::Rtp, 4000),
                    stream(StreamKind::Rtcp, 4001),
                ],
            }],
        };
        let callee = PartyRecord {
            termination: Termination::SilentTimeout,
            local_tag: Some("t".to_owned()),
            local_tag_type: TagType::To,
            remote_tag: None,
            medias: vec![MediaRecord {
                index: 2,
                payload_type: None,
                streams: Vec::new(),
            }],
            ..caller.clone()
        };
        CallRecord {
            call_id: "abc@example.net".to_owned(),
            created_from: "[::ffff:192.0.2.9]:5000".parse().unwrap(),
            last_signal_s: 1_795_187_601,
            tos: 184,
            parties: vec![caller, callee],
        }
    }

    #[test]
    fn the_line_has_all_fields_in_order() {
        let expected = "ci=abc@example.net, created_from=192.0.2.9:5000, \
            last_signal=1795187601, tos=184, \
            ml0_start_time=1795187600.000005, ml0_end_time=1795187670.250000, \
            ml0_duration=70.249995, ml0_termination=REGULAR, ml0_local_tag=f, \
            ml0_local_tag_type=FROM_TAG, ml0_remote_tag=t, payload_type=8, \
            ml0_midx1_rtp_endpoint_ip=198.51.100.2, ml0_midx1_rtp_endpoint_port=4000, \
            ml0_midx1_rtp_local_relay_ip=203.0.113.1, ml0_midx1_rtp_local_relay_port=30000, \
            ml0_midx1_rtp_relayed_packets=10, ml0_midx1_rtp_relayed_bytes=1720, \
            ml0_midx1_rtp_relayed_errors=1, ml0_midx1_rtp_last_packet=1795187669, \
            ml0_midx1_rtp_in_tos_tclass=184, \
            ml0_midx1_rtcp_endpoint_ip=198.51.100.2, ml0_midx1_rtcp_endpoint_port=4001, \
            ml0_midx1_rtcp_local_relay_ip=203.0.113.1, ml0_midx1_rtcp_local_relay_port=30001, \
            ml0_midx1_rtcp_relayed_packets=10, ml0_midx1_rtcp_relayed_bytes=1720, \
            ml0_midx1_rtcp_relayed_errors=1, ml0_midx1_rtcp_last_packet=1795187669, \
            ml0_midx1_rtcp_in_tos_tclass=184, \
            ml1_start_time=1795187600.000005, ml1_end_time=1795187670.250000, \
            ml1_duration=70.249995, ml1_termination=SILENT_TIMEOUT, ml1_local_tag=t, \
            ml1_local_tag_type=TO_TAG, ml1_remote_tag=(null), payload_type=unknown, ";
        assert_eq!(record().line(), expected);
    }

    #[test]
    fn a_name_cannot_begin_another_line() {
        let forged = CallRecord {
            call_id: "a\r\nci=b\u{0}\u{2028}\u{202e}".to_owned(),
            parties: Vec::new(),
            ..record()
        };
        let line = forged.line();
        assert!(
            line.starts_with("ci=a\\r\\nci=b\\u{0}\\u{2028}\\u{202e}, created_from="),
            "{line}"
        );
    }

    #[test]
    fn every_reason_has_its_word() {
        let words = [
            (Termination::FinalTimeout, "FINAL_TIMEOUT"),
            (Termination::Forced, "FORCED"),
            (Termination::OfferTimeout, "OFFER_TIMEOUT"),
            (Termination::Timeout, "TIMEOUT"),
            (Termination::Unknown, "UNKNOWN"),
        ];
        for (reason, word) in words {
            assert_eq!(reason.to_string(), word);
        }
    }
}
