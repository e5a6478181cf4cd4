//! Audio that the relay can make for a media without a codec engine.

use super::model::media::Media;
use crate::flow::PayloadTypes;
use crate::flow::digits::Voice;
use crate::media::g711::Law;

/// The clock of every coding that can be made.
const CLOCK: u32 = 8000;

/// Payload types that can be made, and the events that have their clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Voiced {
    pub(crate) voices: Vec<Voice>,
    pub(crate) events: PayloadTypes,
    /// Payload types that may have events packed in.
    pub(crate) redundant: PayloadTypes,
}

impl Voiced {
    /// The audio for a media, by the party's SDP.
    pub(crate) fn of(media: &Media) -> Self {
        let said = media
            .said
            .as_ref()
            .and_then(super::model::media::Said::read);
        let mut voiced = Self::default();
        for codec in said.iter().flat_map(|said| &said.codecs) {
            if codec.name.eq_ignore_ascii_case("red") {
                voiced.redundant.insert(codec.payload_type);
            }
            let is_mono = codec.channels.is_none_or(|channels| channels == 1);
            if codec.is_telephone_event() && codec.clock_rate == CLOCK {
                voiced.events.insert(codec.payload_type);
            } else if let Some(law) = Law::of(codec.name.as_bytes())
                && codec.clock_rate == CLOCK
                && is_mono
            {
                let payload_type = codec.payload_type;
                voiced.voices.push(Voice { payload_type, law });
            }
        }
        voiced
    }
}
