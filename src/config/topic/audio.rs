//! Decoded audio: which codecs are converted, and how.

use std::fmt;
use std::str::FromStr;

use windlass_audio::catalogue::LibraryId;
use windlass_audio::library::{LIBRARIES, LibraryInfo};
use windlass_audio::negotiate::{CodecSpec, Preference};

use crate::config::codec::{Above, Flag, List, Maybe, Whole, text};
use crate::config::setting::settings;
use crate::limits::{AUDIO_CHAINS_PER_CALL, CODEC_THREADS};

settings! {
    /// Conversion of audio (spec: media-services §13).
    pub struct Audio ["audio"] {
        /// Libraries of codecs that are opened where the host has them. One whose licence is that of
        /// a program that uses it is opened only if it is named.
        libraries: Vec<Library> = Library::free(), List(text("amr, g729, gsm, opus or speex")),
            "libraries";
        /// Directory of the libraries, which root alone can change; `None`: the dynamic linker's.
        library_path: Option<String> = None, Maybe(text("a path")), "library_path";
        /// Directions of one call that are converted at a time.
        max_chains: u32 = AUDIO_CHAINS_PER_CALL, Whole(0..=4096), "max_chains";
        /// Threads that decode and encode heavy codecs (Opus, AMR, G.729, GSM, Speex); 0: one per core.
        codec_threads: u16 = 0, Whole(0..=CODEC_THREADS as u64), "codec_threads", "codec-num-threads";
        /// Timestamps that leave jump over lost packets, too.
        timestamp_gaps: bool = false, Flag, "timestamp_gaps";
        /// Audio below this share of the full range, in per cent, leaves as comfort noise.
        silence_detect: Option<f64> = None, Above, "silence_detect", "silence-detect";
        /// What such comfort noise says (RFC 3389 §3).
        cn_payload: Vec<u8> = vec![32], List(Whole(0..=255)), "cn_payload", "cn-payload";
        /// Conversions that are liked more than others: `PCMA -> G722/8000 = 10`.
        preferences: Vec<Liking> = Vec::new(), List(text(LIKING)), "preferences";
    }
}

const LIKING: &str = "a conversion such as \"PCMA -> G722/8000 = 10\"";

/// A library of one or more codecs, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Library(&'static str);

impl Library {
    /// Those whose licence asks for nothing.
    fn free() -> Vec<Self> {
        let mut names: Vec<Self> = Vec::new();
        for info in LIBRARIES.iter().filter(|info| info.id != LibraryId::G729) {
            if !names.contains(&Self(info.name)) {
                names.push(Self(info.name));
            }
        }
        names
    }

    /// The files that it is made of.
    pub fn infos(self) -> impl Iterator<Item = &'static LibraryInfo> {
        LIBRARIES.iter().filter(move |info| info.name == self.0)
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A text that names no library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected amr, g729, gsm, opus or speex")]
pub struct LibraryNameError;

impl FromStr for Library {
    type Err = LibraryNameError;

    fn from_str(text: &str) -> Result<Self, LibraryNameError> {
        let mut known = LIBRARIES.iter();
        let found = known.find(|info| info.name.eq_ignore_ascii_case(text));
        found.map(|info| Self(info.name)).ok_or(LibraryNameError)
    }
}

/// How much a conversion is liked: from the offerer's codec to the answered one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liking {
    source: String,
    destination: String,
    preference: i32,
}

impl Liking {
    /// `None`: a name is empty, or has what a codec's name cannot have.
    pub(in crate::config) fn new(source: &str, destination: &str, preference: i32) -> Option<Self> {
        let is_codec = |name: &str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "/-+._".contains(c);
            !name.is_empty() && name.chars().all(is_part)
        };
        (is_codec(source) && is_codec(destination)).then(|| Self {
            source: source.to_owned(),
            destination: destination.to_owned(),
            preference,
        })
    }

    /// As negotiation takes it.
    pub fn preference(&self) -> Preference {
        Preference {
            source: CodecSpec::parse(&self.source),
            destination: CodecSpec::parse(&self.destination),
            preference: self.preference,
        }
    }
}

impl fmt::Display for Liking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (&self.source, &self.destination);
        write!(f, "{source} -> {destination} = {}", self.preference)
    }
}

/// A text that says of no conversion how much it is liked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {LIKING}")]
pub struct LikingError;

impl FromStr for Liking {
    type Err = LikingError;

    fn from_str(text: &str) -> Result<Self, LikingError> {
        let (codecs, preference) = text.rsplit_once('=').unwrap_or((text, "0"));
        let (source, destination) = codecs.split_once("->").ok_or(LikingError)?;
        let preference = preference.trim().parse().map_err(|_| LikingError)?;
        Self::new(source.trim(), destination.trim(), preference).ok_or(LikingError)
    }
}
