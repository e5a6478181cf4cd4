//! Which codecs each party is shown, and what is converted between them, as pure functions on lists
//! of codecs: one media, one offer and its answer.
//!
//! [`offer`] turns the offerer's list and the options of the request into the list for the receiver
//! and keeps, in an [`Offer`], what the answer needs. [`answer`] turns the receiver's answer into
//! the list for the offerer and says for each payload type, either way, what becomes of its packets
//! ([`Route`]).
//!
//! The words: O is the offerer's list without what is ignored, R the list that the receiver is
//! shown, A the answer as far as it is in R. A codec of O is *used* if the options ask for it
//! towards the offerer (`accept`, `consume`, `always-transcode`), a codec of R is *added* if the
//! offerer does not have it.

mod answer;
mod offer;
mod ptime;
mod routes;
mod spec;
mod supplemental;

use serde::{Deserialize, Serialize};

use crate::catalogue::{Backend, CodecDef, LibraryId};
use crate::fmtp;
use crate::format::Format;
use crate::library::{LIBRARIES, Libraries};

pub use answer::{Agreement, AnswerOptions, answer};
pub use offer::offer;
pub use ptime::{PtimeOptions, cut_ptime, printed_ptime};
pub use routes::{Route, Treatment, routes};
pub use spec::{CodecSpec, Preference};

/// The codec options of an offer.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `strip`: taken from the receiver's list.
    pub strip: Vec<CodecSpec>,
    /// `except`: not meant by `all`.
    pub except: Vec<CodecSpec>,
    /// `offer`: brought back.
    pub offer: Vec<CodecSpec>,
    /// `ignore`: as if the offerer had not offered it.
    pub ignore: Vec<CodecSpec>,
    /// `transcode`: added to the receiver's list.
    pub transcode: Vec<CodecSpec>,
    /// `mask`: taken from the receiver's list, still taken from the offerer.
    pub mask: Vec<CodecSpec>,
    /// `accept`: used towards the offerer, even if the receiver does not want it.
    pub accept: Vec<CodecSpec>,
    /// `consume`: `mask` and `accept`.
    pub consume: Vec<CodecSpec>,
    /// `set`: bit rate and options of codecs that are used without being named by `transcode`.
    pub set: Vec<CodecSpec>,
    /// `always-transcode`: every codec is used.
    pub always_transcode: bool,
    /// `allow-no-codec-media`: an empty list is what was asked for.
    pub allow_no_codec: bool,
    /// `reuse-codecs`: those that the receiver has already stay in front.
    pub reuse: bool,
    /// `static-codecs`: the receiver is shown what it was shown last.
    pub keep_static: bool,
}

/// What the receiver is known by from before; empty on a first offer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before<'a> {
    /// The receiver's own codecs: their numbers are used again.
    pub receiver: &'a [Format],
    /// The list that the receiver was shown last.
    pub shown: &'a [Format],
}

/// Which codecs can be converted here: the libraries that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// What is computed here.
    own: bool,
    /// What the libraries bring, in the order of [`LIBRARIES`].
    libraries: [bool; LIBRARIES.len()],
}

/// What is computed here, without any library.
impl Default for Support {
    fn default() -> Self {
        Self {
            own: true,
            libraries: [false; LIBRARIES.len()],
        }
    }
}

impl Support {
    /// What these libraries bring, beside what is computed here.
    pub fn new(libraries: &Libraries) -> Self {
        Self::with(|id| libraries.has(id))
    }

    /// What these libraries would bring, beside what is computed here.
    pub fn with(has: impl Fn(LibraryId) -> bool) -> Self {
        Self {
            own: true,
            libraries: LIBRARIES.map(|info| has(info.id)),
        }
    }

    /// Nothing is converted: there is no room for more.
    pub fn none() -> Self {
        Self {
            own: false,
            libraries: [false; LIBRARIES.len()],
        }
    }

    /// Whether the codec can be both encoded and decoded.
    pub fn has(&self, def: &CodecDef) -> bool {
        match def.backend {
            Backend::Own => self.own,
            Backend::Library(library) => {
                let mut known = LIBRARIES.iter().zip(self.libraries);
                known.any(|(info, is_there)| info.id == library && is_there)
            }
            Backend::Nothing => false,
        }
    }

    /// Whether packets of the format can be converted, either way.
    pub fn converts(&self, format: &Format) -> bool {
        format.def().is_some_and(|def| {
            self.has(def)
                && def.has_clock(format.clock)
                && def.has_channels(format.channels)
                && fmtp::is_convertible(format)
        })
    }
}

/// A codec of the offerer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The codec as offered.
    pub format: Format,
    /// The options ask for it towards the offerer.
    pub is_used: bool,
}

/// A codec that the receiver is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The codec as printed.
    pub format: Format,
    /// The offerer does not have it: it is converted if the receiver takes it.
    pub is_added: bool,
    /// Bit rate in bit/s that the options ask for.
    pub bit_rate: Option<u32>,
    /// Packet time in ms that the options ask for.
    pub ptime: Option<u32>,
    /// Options for the encoder, as written.
    pub options: String,
}

impl Shown {
    /// A codec that nothing is asked for.
    pub fn plain(format: &Format) -> Self {
        Self {
            format: format.clone(),
            is_added: false,
            bit_rate: None,
            ptime: None,
            options: String::new(),
        }
    }
}

/// What came of the codecs of an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// O.
    pub offered: Vec<Offered>,
    /// R, in the order of the `m=` line.
    pub shown: Vec<Shown>,
    /// The options left no codec, so all stayed: worth a warning.
    pub was_restored: bool,
    /// The answer to the offerer is its own first codec, whatever the receiver answers.
    pub is_static: bool,
}

impl Offer {
    /// An offer that no option has changed.
    pub fn plain(list: &[Format]) -> Self {
        let offered = list.iter().map(|format| Offered {
            format: format.clone(),
            is_used: false,
        });
        Self {
            offered: offered.collect(),
            shown: list.iter().map(Shown::plain).collect(),
            ..Self::default()
        }
    }

    /// Whether an answer may make a conversion necessary: a codec is wanted towards the offerer,
    /// or the receiver was shown one that the offerer does not count as having.
    pub fn may_convert(&self) -> bool {
        let is_known = |shown: &Shown| {
            let mut offered = self.offered.iter();
            offered.any(|entry| entry.format == shown.format)
        };
        self.is_static
            || self.offered.iter().any(|entry| entry.is_used)
            || !self.shown.iter().all(is_known)
    }

    /// R as plain formats.
    pub fn receiver_list(&self) -> Vec<Format> {
        self.shown
            .iter()
            .map(|shown| shown.format.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests;
