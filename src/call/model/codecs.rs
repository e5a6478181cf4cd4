//! Codecs between us and one party of a line, where options name any, or something is converted
//! (spec: media-services §3).

use windlass_audio::format::Format;
use windlass_audio::negotiate::{Offer, Shown};

/// The codecs of a line with one party. A line that nothing is asked for has none of this.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codecs {
    /// What the party was offered last: any number of answers may come to it.
    pub(crate) offered: Option<Offer>,
    /// What our last SDP to the party named.
    pub(crate) shown: Vec<Format>,
    /// What the party sends and takes, as both sides agreed; empty while nothing is.
    pub(crate) agreed: Vec<Format>,
    /// Codecs of our own that the party was ever offered: it may answer with one of them after
    /// they are gone from the offer.
    pub(crate) added: Vec<Format>,
    /// What is asked for the audio that the party gets.
    pub(crate) wishes: Vec<Wish>,
    /// Packet times of the line.
    pub(crate) times: Times,
    /// All audio is decoded and encoded, equal codecs too (`force-transcoding`, `inject-DTMF`).
    pub(crate) converts_all: bool,
    /// The party's audio is searched for digits (`detect-DTMF`).
    pub(crate) detects: bool,
}

/// What is asked for the encoder of one payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The number by which the party knows the codec.
    pub(crate) payload_type: u8,
    /// Bit rate in bit/s.
    pub(crate) bit_rate: Option<u32>,
    /// Packet time in ms.
    pub(crate) ptime: Option<u32>,
    /// Options, as written.
    pub(crate) options: String,
}

impl Wish {
    /// Those of a list, of codecs that anything is asked for.
    pub(crate) fn of(shown: &[Shown]) -> Vec<Self> {
        let wishes = shown.iter().map(|shown| Self {
            payload_type: shown.format.payload_type,
            bit_rate: shown.bit_rate,
            ptime: shown.ptime,
            options: shown.options.clone(),
        });
        let is_any = |wish: &Self| {
            wish.bit_rate.is_some() || wish.ptime.is_some() || !wish.options.is_empty()
        };
        wishes.filter(is_any).collect()
    }
}

/// Packet times of a line, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// What packets to the party are cut to (`ptime`, `ptime-reverse`).
    pub(crate) forced: Option<u32>,
    /// `a=ptime` of the party.
    pub(crate) said: Option<u32>,
    /// `a=maxptime` of the party.
    pub(crate) maximum: Option<u32>,
}

impl Codecs {
    /// What is asked for a payload type towards the party.
    pub(crate) fn wish(&self, payload_type: u8) -> Option<&Wish> {
        let mut wishes = self.wishes.iter();
        wishes.find(|wish| wish.payload_type == payload_type)
    }

    /// The party is offered this.
    pub(crate) fn offer(&mut self, offer: Offer) {
        self.shown = offer.receiver_list();
        self.wishes = Wish::of(&offer.shown);
        for shown in offer.shown.iter().filter(|shown| shown.is_added) {
            let number = shown.format.payload_type;
            self.added.retain(|known| known.payload_type != number);
            self.added.push(shown.format.clone());
        }
        self.offered = Some(offer);
    }

    /// What was offered last, for an answer: codecs of ours that an earlier offer had count as
    /// offered, as long as their numbers mean nothing else.
    pub(crate) fn answerable(&self) -> Option<Offer> {
        let mut offer = self.offered.clone()?;
        for added in &self.added {
            let number = added.payload_type;
            let mut shown = offer.shown.iter();
            if shown.all(|shown| shown.format.payload_type != number) {
                offer.shown.push(Shown {
                    is_added: true,
                    ..Shown::plain(added)
                });
            }
        }
        Some(offer)
    }
}
