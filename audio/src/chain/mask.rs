//! What the receiver hears in place of digits (`DTMF-security`), and in place of everything.

use crate::dtmf::{MAX_FREQUENCIES, Tone};

/// What takes the place of a digit, be it an event or a tone in the audio. What holds for its begin
/// holds to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// Nothing does: it passes.
    #[default]
    None,
    /// Another digit.
    Digit {
        /// Its event number, 0 to 15.
        event: u8,
        /// Its loudness in -dBm0, 0 to 63; `None`: as it was pressed.
        volume: Option<u8>,
    },
    /// An event is left out, a tone becomes silence.
    Drop,
    /// Silence.
    Silence,
    /// A tone.
    Tone {
        /// Frequencies in Hz; 0: none.
        frequencies: [u16; MAX_FREQUENCIES],
        /// Level of each in -dB of full scale.
        volume: u8,
    },
}

/// Sound that is made in place of something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sound {
    Silence,
    Tone(Tone),
}

impl Mask {
    /// What is heard in place of a digit, at a clock of samples in Hz. `None`: the digit itself.
    pub(super) fn sound(self, volume: u8, rate: u32) -> Option<Sound> {
        match self {
            Self::None => None,
            Self::Digit { event, volume: own } => {
                let tone = Tone::of_event(event, own.unwrap_or(volume), rate);
                Some(tone.map_or(Sound::Silence, Sound::Tone))
            }
            Self::Drop | Self::Silence => Some(Sound::Silence),
            Self::Tone {
                frequencies,
                volume,
            } => Some(Sound::Tone(Tone::chord(frequencies, volume, rate))),
        }
    }

    /// The digit that goes out for one, with its loudness. `None`: none does.
    pub(super) fn digit(self, event: u8, volume: u8) -> Option<(u8, u8)> {
        match self {
            Self::None => Some((event, volume)),
            Self::Digit { event, volume: own } => Some((event, own.unwrap_or(volume))),
            Self::Drop | Self::Silence | Self::Tone { .. } => None,
        }
    }
}

impl Sound {
    /// Appends samples of one channel.
    pub(super) fn generate(&mut self, samples: usize, out: &mut Vec<i16>) {
        match self {
            Self::Silence => out.resize(out.len() + samples, 0),
            Self::Tone(tone) => tone.generate(samples, out),
        }
    }
}
