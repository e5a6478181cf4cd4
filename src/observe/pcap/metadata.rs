//! The text beside a pcap: the SDP of the call and its times (spec: media-behaviour §13).

use std::time::{SystemTime, UNIX_EPOCH};

use windlass_ng::shown::needs_escape;

use crate::observe::calendar::date;

/// An SDP body that went through the engine.
#[derive(Clone, Debug)]
pub struct SdpEntry {
    /// Label of the party that it came from.
    pub label: Option<String>,
    /// Start of that party.
    pub started: SystemTime,
    /// Offer or answer.
    pub mode: SdpMode,
    /// The body.
    pub body: Vec<u8>,
}

/// Half of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdpMode {
    /// First half.
    Offer,
    /// Second half.
    Answer,
}

/// Facts known at the end of a recording.
#[derive(Clone, Debug)]
pub struct Ending {
    /// End of the first party.
    pub terminated: SystemTime,
    /// Start of the call.
    pub call_start: SystemTime,
    /// End of the call.
    pub call_end: SystemTime,
    /// `metadata` of the proxy; may be empty.
    pub metadata: Vec<u8>,
}

impl SdpEntry {
    /// Bytes that it takes in the queue.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.body.len() + self.label.as_ref().map_or(0, String::len)
    }

    /// `next_packet` is the number that the next packet of the file will have, from 1.
    pub(super) fn text(&self, next_packet: u64) -> Vec<u8> {
        let mut text = "\n".to_owned();
        if let Some(label) = &self.label {
            text.push_str("Label: ");
            // A label stays on its line.
            text.extend(label.chars().filter(|letter| !needs_escape(*letter)));
            text.push('\n');
        }
        let mode = match self.mode {
            SdpMode::Offer => "offer",
            SdpMode::Answer => "answer",
        };
        text.push_str(&format!(
            "Timestamp started ms: {}\nSDP mode: {mode}\nSDP before RTP packet: {next_packet}\n\n",
            milliseconds(self.started)
        ));
        let mut text = text.into_bytes();
        text.extend_from_slice(&self.body);
        text
    }
}

impl Ending {
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = format!(
            "\nTimestamp terminated ms(first monologue): {}\n\n\
             call start time: {}\ncall end time: {}\n\n",
            milliseconds(self.terminated),
            date_time(self.call_start),
            date_time(self.call_end),
        )
        .into_bytes();
        if !self.metadata.is_empty() {
            text.push(b'\n');
            text.extend_from_slice(&self.metadata);
            text.push(b'\n');
        }
        text
    }
}

/// Time in ms, with the microseconds as decimals.
fn milliseconds(time: SystemTime) -> String {
    let micros = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros();
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

/// `YYYY-MM-DDThh:mm:ss` in UTC.
fn date_time(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_795_187_669, "2026-11-20T15:14:29"),
            (4_107_542_400, "2100-03-01T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
        ];
        for (seconds, expected) in cases {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(date_time(time), expected);
        }
    }

    #[test]
    fn an_sdp_stands_under_its_lines() {
        let entry = SdpEntry {
            label: Some("caller\nx".to_owned()),
            started: UNIX_EPOCH + Duration::from_millis(1500),
            mode: SdpMode::Offer,
            body: b"v=0\r\n".to_vec(),
        };
        let expected = "\nLabel: callerx\nTimestamp started ms: 1500.000\nSDP mode: offer\n\
                        SDP before RTP packet: 1\n\nv=0\r\n";
        assert_eq!(String::from_utf8(entry.text(1)).unwrap(), expected);
        let answer = SdpEntry {
            label: None,
            mode: SdpMode::Answer,
            ..entry
        };
        let text = String::from_utf8(answer.text(7)).unwrap();
        assert!(text.starts_with("\nTimestamp started ms: 1500.000\nSDP mode: answer\n"));
        assert!(text.contains("\nSDP before RTP packet: 7\n"));
    }

    #[test]
    fn the_end_has_times_and_metadata() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let ending = Ending {
            terminated: at(61),
            call_start: at(0),
            call_end: at(62),
            metadata: b"customer=7".to_vec(),
        };
        let expected = "\nTimestamp terminated ms(first monologue): 61000.000\n\n\
                        call start time: 1970-01-01T00:00:00\n\
                        call end time: 1970-01-01T00:01:02\n\n\ncustomer=7\n";
        assert_eq!(String::from_utf8(ending.text()).unwrap(), expected);
    }
}
