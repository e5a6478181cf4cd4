//! Treatment of a party's digits (RFC 4733 events; spec: media-behaviour §11, `DTMF-security`).

use std::time::Instant;

use crate::media::dtmf::Digit;
use crate::media::g711::{Law, Tone};

/// Replacement of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DigitRule {
    /// The event itself.
    #[default]
    Pass,
    /// Nothing.
    Drop,
    /// An event of another digit.
    Digit {
        /// The digit.
        digit: Digit,
        /// Its level below 0 dBm0, in dB; `None`: as it was pressed.
        volume: Option<u8>,
    },
    /// An event of a digit that is drawn anew for each.
    Random {
        /// Its level below 0 dBm0, in dB; `None`: as it was pressed.
        volume: Option<u8>,
    },
    /// Audio that is silent.
    Silence,
    /// Audio with a tone.
    Tone(Tone),
}

impl DigitRule {
    /// Whether audio goes out.
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Silence | Self::Tone(_))
    }

    /// Whether a packet is changed, other than withheld.
    pub fn replaces(self) -> bool {
        !matches!(self, Self::Pass | Self::Drop)
    }

    /// Name in `DTMF-security`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "off",
            Self::Drop => "drop",
            Self::Digit { digit, .. } if digit.code() == 0 => "zero",
            Self::Digit { .. } => "DTMF",
            Self::Random { .. } => "random",
            Self::Silence => "silence",
            Self::Tone(_) => "tone",
        }
    }
}

/// The rule in force, and how it ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DigitBlock {
    /// Rule for events now.
    pub rule: DigitRule,
    /// End of that rule, and the rule from then on.
    pub until: Option<(Instant, DigitRule)>,
}

impl DigitBlock {
    /// A rule without an end.
    pub fn from_now_on(rule: DigitRule) -> Self {
        Self { rule, until: None }
    }

    /// The rule at a time.
    pub fn at(&self, now: Instant) -> DigitRule {
        match self.until {
            Some((end, after)) if end <= now => after,
            _ => self.rule,
        }
    }

    /// This one where it says something, else the other. Where both end by themselves, the other
    /// is taken to last: too much is withheld rather than too little, until the ends are settled.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::default() {
            return other;
        }
        let otherwise = |rule| match rule {
            DigitRule::Pass => other.rule,
            rule => rule,
        };
        Self {
            rule: otherwise(self.rule),
            until: self.until.map(|(end, after)| (end, otherwise(after))),
        }
    }
}

/// A payload type of audio that can be made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Voice {
    /// The payload type.
    pub payload_type: u8,
    /// Coding of the audio.
    pub law: Law,
}
