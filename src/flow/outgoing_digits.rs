//! Digits on their way out of one port: withheld, or something else in their place (RFC 4733;
//! spec: media-behaviour §11, `DTMF-security`).
//!
//! What was decided for an event holds to its last packet: its end is sent three times, and the
//! rule may have changed with the first of them.

use std::time::Instant;

use rand::Rng;

use crate::flow::SinkRules;
use crate::flow::digits::{DigitRule, Voice};
use crate::media::dtmf::{EVENT_LENGTH, TelephoneEvent};
use crate::media::g711::{self, Law, Tone};
use crate::media::red;
use crate::media::rtp::{self, RtpHeader};

/// Meaning of a sink's rules for one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// They have no word on digits, or it is no packet of theirs.
    Unruled,
    /// An event under a rule, and the voice to replace it with, if none was heard yet.
    Event(DigitRule, Option<Voice>),
    /// Events are packed into it beside other things, and are not to go out.
    Packed,
    /// Audio beside events that are replaced; with a voice if its coding can be made here.
    Audio(Option<Voice>),
}

impl Step {
    pub(crate) fn of(rules: &SinkRules, header: &RtpHeader, packet: &[u8], now: Instant) -> Self {
        let (withhold, rules) = (&rules.withhold, &rules.change);
        let rule = withhold.digits.at(now);
        let payload_type = header.payload_type;
        if withhold.events.contains(payload_type) {
            let is_voiced = rules.voiced_events.contains(payload_type);
            let voice = rules.voices.first().copied().filter(|_| is_voiced);
            return match rule {
                // Nothing that could go out has the clock of this event.
                rule if rule.is_audio() && !is_voiced => Self::Event(DigitRule::Drop, None),
                DigitRule::Pass => Self::Unruled,
                rule => Self::Event(rule, voice),
            };
        }
        if rule != DigitRule::Pass && rules.redundant.contains(payload_type) {
            let payload = packet.get(header.payload_at..).unwrap_or_default();
            if red::payload_types(payload).any(|packed| withhold.events.contains(packed)) {
                return Self::Packed;
            }
        }
        if !rule.is_audio() {
            return Self::Unruled;
        }
        let voices = rules.voices.iter();
        let voice = voices.copied().find(|v| v.payload_type == payload_type);
        Self::Audio(voice)
    }
}

/// Treatment of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes as it is.
    Pass,
    /// The packet is withheld, as if it had been lost.
    Withhold,
    /// The packet is left out; later ones are numbered as if it had never been.
    Skip,
    /// The packet goes out with other content.
    Replace(Replacement),
}

/// Content that replaces an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// Another event.
    Event { code: u8, volume: Option<u8> },
    /// Audio.
    Audio {
        voice: Voice,
        /// `None`: silence.
        tone: Option<Tone>,
        timestamp: u32,
        /// Ticks since the event began.
        from: u32,
        units: u16,
    },
}

/// The digits that leave from one port.
#[derive(Debug, Default)]
pub(crate) struct Digits {
    current: Option<Current>,
    /// The source whose audio was heard last, and how it codes that.
    heard: Option<(u32, Option<Voice>)>,
}

/// The event whose packets arrive.
#[derive(Clone, Copy, Debug)]
struct Current {
    ssrc: u32,
    payload_type: u8,
    timestamp: u32,
    rule: DigitRule,
    /// The drawn digit that replaces it, if the rule draws one.
    drawn: u8,
    /// Units of earlier segments of a long event (RFC 4733 §2.5.1.3).
    before: u32,
    /// Units that it has lasted.
    lasted: u16,
    ended: bool,
}

/// A packet that is older than the current event by less than this came late: 10 s.
const LATE: u32 = 80_000;
/// Audio that overlaps an event by this much beyond what is known of it is the event's own: senders
/// report every 50 ms at the latest (RFC 4733 §2.5.1.2), and one report may be lost.
const AHEAD: u32 = 800;
/// The longest audio packet made, in ticks: more was not heard of the event for too long.
const LONGEST: u16 = 1600;

impl Digits {
    /// What becomes of an RTP packet.
    pub(crate) fn on_packet(&mut self, step: Step, header: &RtpHeader, payload: &[u8]) -> Fate {
        let known = self.current.filter(|current| current.is_of(header));
        match (step, known) {
            (Step::Event(..), Some(current)) | (Step::Unruled, Some(current)) => {
                self.go_on(current, payload)
            }
            (Step::Event(rule, voice), None) => self.begin(rule, voice, header, payload),
            (Step::Packed, _) => Fate::Withhold,
            (Step::Audio(voice), _) => self.on_audio(voice, header),
            (Step::Unruled, None) => Fate::Pass,
        }
    }

    fn begin(
        &mut self,
        rule: DigitRule,
        voice: Option<Voice>,
        header: &RtpHeader,
        payload: &[u8],
    ) -> Fate {
        let Some(event) = TelephoneEvent::parse(payload) else {
            return Fate::Withhold;
        };
        let before = self.current.filter(|current| current.ssrc == header.ssrc);
        let continued = before.filter(|current| current.is_continued_at(header.timestamp));
        if !header.marker && continued.is_none() {
            let is_late =
                |current: &Current| current.timestamp.wrapping_sub(header.timestamp) < LATE;
            // The tail of an event before: it was either told in full already or is not to be told.
            if event.end || before.as_ref().is_some_and(is_late) {
                return Fate::Withhold;
            }
        }
        if rule.is_audio() && self.heard.is_none_or(|(ssrc, _)| ssrc != header.ssrc) {
            self.heard = Some((header.ssrc, voice));
        }
        let current = Current {
            ssrc: header.ssrc,
            payload_type: header.payload_type,
            timestamp: header.timestamp,
            rule: continued.map_or(rule, |current| current.rule),
            drawn: match (continued, rule) {
                (Some(current), _) => current.drawn,
                // Not only others than the one pressed: that would tell which it is not.
                (None, DigitRule::Random { .. }) => rand::rng().random_range(0..10),
                (None, _) => 0,
            },
            before: continued.map_or(0, |current| {
                current.before.wrapping_add(u32::from(u16::MAX))
            }),
            lasted: 0,
            ended: false,
        };
        self.go_on(current, payload)
    }

    /// Another packet of an event.
    fn go_on(&mut self, mut current: Current, payload: &[u8]) -> Fate {
        let Some(event) = TelephoneEvent::parse(payload) else {
            return Fate::Withhold;
        };
        let units = event.duration.saturating_sub(current.lasted);
        current.lasted = current.lasted.max(event.duration);
        current.ended |= event.end;
        self.current = Some(current);
        match current.rule {
            DigitRule::Pass => Fate::Pass,
            DigitRule::Drop => Fate::Withhold,
            DigitRule::Digit { digit, volume } => Fate::Replace(Replacement::Event {
                code: digit.code(),
                volume,
            }),
            DigitRule::Random { volume } => Fate::Replace(Replacement::Event {
                code: current.drawn,
                volume,
            }),
            DigitRule::Silence => self.voice(&current, None, units),
            DigitRule::Tone(tone) => self.voice(&current, Some(tone), units),
        }
    }

    /// Audio for what an event lasted since its last packet.
    fn voice(&self, current: &Current, tone: Option<Tone>, units: u16) -> Fate {
        let Some((_, Some(voice))) = self.heard else {
            return Fate::Withhold;
        };
        // A copy of the end, or a packet that was overtaken.
        if units == 0 {
            return Fate::Skip;
        }
        let units = units.min(LONGEST);
        let start = u32::from(current.lasted - units);
        Fate::Replace(Replacement::Audio {
            voice,
            tone,
            timestamp: current.timestamp.wrapping_add(start),
            from: current.before.wrapping_add(start),
            units,
        })
    }

    /// Audio of the source itself. What it sends beside an event is the digit as a tone, at times
    /// that we speak for.
    fn on_audio(&mut self, voice: Option<Voice>, header: &RtpHeader) -> Fate {
        self.heard = Some((header.ssrc, voice));
        let current = self
            .current
            .filter(|current| current.ssrc == header.ssrc && current.rule.is_audio());
        let overlaps = current.is_some_and(|current| {
            let ahead = if current.ended { 0 } else { AHEAD };
            header.timestamp.wrapping_sub(current.timestamp) < u32::from(current.lasted) + ahead
        });
        match overlaps {
            true => Fate::Skip,
            false => Fate::Pass,
        }
    }
}

impl Current {
    fn is_of(&self, header: &RtpHeader) -> bool {
        self.ssrc == header.ssrc
            && self.payload_type == header.payload_type
            && self.timestamp == header.timestamp
    }

    fn is_continued_at(&self, timestamp: u32) -> bool {
        !self.ended
            && self.lasted == u16::MAX
            && timestamp == self.timestamp.wrapping_add(u32::from(u16::MAX))
    }
}

impl Replacement {
    /// Changes a copy of the packet.
    pub(crate) fn apply(&self, header: &RtpHeader, packet: &mut Vec<u8>) {
        match self {
            Self::Event { code, volume } => {
                // A packet may tell several events, one behind the other (RFC 4733 §2.5.1.5).
                for event in rtp::payload_mut(packet, header)
                    .unwrap_or_default()
                    .chunks_mut(EVENT_LENGTH)
                {
                    replace(event, *code, *volume);
                }
            }
            Self::Audio {
                voice,
                tone,
                timestamp,
                from,
                units,
            } => {
                packet.truncate(header.payload_at);
                rtp::set_unpadded(packet);
                rtp::set_payload_type(packet, voice.payload_type);
                rtp::set_timestamp(packet, *timestamp);
                voice_into(packet, voice.law, tone.as_ref(), *from, usize::from(*units));
            }
        }
    }
}

fn replace(event: &mut [u8], code: u8, volume: Option<u8>) {
    let Some(told) = TelephoneEvent::parse(event) else {
        // Less than an event: nothing that a digit could be read from stays.
        return event.fill(0);
    };
    let volume = volume.unwrap_or(told.volume);
    event.copy_from_slice(
        &TelephoneEvent {
            code,
            volume,
            ..told
        }
        .encode(),
    );
}

fn voice_into(packet: &mut Vec<u8>, law: Law, tone: Option<&Tone>, from: u32, units: usize) {
    match tone {
        Some(tone) => g711::tone(law, tone, from, units, packet),
        None => packet.resize(packet.len() + units, g711::silence(law)),
    }
}

#[cfg(test)]
#[path = "outgoing_digits_tests.rs"]
mod tests;
