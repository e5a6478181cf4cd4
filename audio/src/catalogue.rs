//! The codecs: names, clocks, default payload types and packet times (RFC 3551 §6 and the payload
//! format of each).

use crate::limits::{MAX_CHANNELS, MAX_RATE, MIN_RATE};

/// A codec that the room knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CodecId {
    /// Adaptive multi-rate (RFC 4867).
    Amr,
    /// Wide-band adaptive multi-rate (RFC 4867).
    AmrWb,
    /// Comfort noise (RFC 3389).
    ComfortNoise,
    /// Enhanced voice services: passed through.
    Evs,
    /// G.722 at 64 kbit/s.
    G722,
    /// G.723.1: passed through.
    G723,
    /// G.726 at 16 kbit/s.
    G726At16,
    /// G.726 at 24 kbit/s.
    G726At24,
    /// G.726 at 32 kbit/s.
    G726At32,
    /// G.726 at 40 kbit/s.
    G726At40,
    /// G.726 at 16 kbit/s, codes packed as for ATM.
    Aal2G726At16,
    /// G.726 at 24 kbit/s, codes packed as for ATM.
    Aal2G726At24,
    /// G.726 at 32 kbit/s, codes packed as for ATM.
    Aal2G726At32,
    /// G.726 at 40 kbit/s, codes packed as for ATM.
    Aal2G726At40,
    /// G.729, with Annex B unless the fmtp says no.
    G729,
    /// G.729 Annex A, without Annex B unless the fmtp says so.
    G729a,
    /// GSM full rate (06.10).
    Gsm,
    /// iLBC (RFC 3952): passed through.
    Ilbc,
    /// Linear samples of 16 bits.
    L16,
    /// Opus (RFC 7587).
    Opus,
    /// G.711 A-law.
    Pcma,
    /// G.711 µ-law.
    Pcmu,
    /// Speex (RFC 5574).
    Speex,
    /// Events (RFC 4733).
    TelephoneEvent,
    /// Linear samples of 16 bits, under its name of before registration.
    XL16,
}

/// What codecs are converted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Computed here.
    Own,
    /// A shared library that is opened at run time.
    Library(LibraryId),
    /// Nothing: payloads pass as they are.
    Nothing,
}

/// A library that brings codecs, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LibraryId {
    /// opencore-amrnb.
    AmrNb,
    /// opencore-amrwb for decoding, vo-amrwbenc for encoding.
    AmrWb,
    /// bcg729: GPL, so never opened unless the operator says so.
    G729,
    /// libgsm.
    Gsm,
    /// libopus.
    Opus,
    /// libspeex.
    Speex,
}

/// What goes beside the codec that carries the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Audio.
    Audio,
    /// Comfort noise or events: one per clock.
    Supplemental,
}

/// What it costs to convert a frame, for the choice of the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// 20 µs a frame at most: on the thread that has the packet.
    Cheap,
    /// More: on a thread of a pool.
    Heavy,
}

/// A row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct CodecDef {
    /// Which codec.
    pub id: CodecId,
    /// Its encoding name, as registered.
    pub name: &'static str,
    /// RTP clock in Hz, if a name comes without one.
    pub default_clock: u32,
    /// Channels, as SDP counts them, if a name comes without.
    pub default_channels: u8,
    /// The numbers that RFC 3551 assigns, each with clock and channels.
    pub static_types: &'static [(u8, u32, u8)],
    /// Packet time in ms, if nobody says another.
    pub default_ptime: u32,
    /// Packet times in ms are multiples of this.
    pub ptime_step: u32,
    /// Audio, or beside it.
    pub kind: Kind,
    /// By what it is converted.
    pub backend: Backend,
}

impl CodecDef {
    /// Whether the codec exists with this RTP clock.
    pub fn has_clock(&self, clock: u32) -> bool {
        match self.id {
            CodecId::Opus => clock == 48_000,
            CodecId::AmrWb | CodecId::Evs => clock == 16_000,
            CodecId::Speex => [8000, 16_000, 32_000].contains(&clock),
            CodecId::Pcma | CodecId::Pcmu | CodecId::L16 | CodecId::XL16 => {
                (MIN_RATE..=MAX_RATE).contains(&clock)
            }
            CodecId::ComfortNoise | CodecId::TelephoneEvent => clock != 0,
            _ => clock == 8000,
        }
    }

    /// Whether the codec exists with this number of channels in SDP.
    pub fn has_channels(&self, channels: u8) -> bool {
        match self.id {
            CodecId::L16 | CodecId::XL16 | CodecId::Opus => (1..=MAX_CHANNELS).contains(&channels),
            _ => channels == 1,
        }
    }

    /// The clock of the samples that belong to an RTP clock: G.722 says 8000 and means 16000.
    pub fn sample_rate(&self, clock: u32) -> u32 {
        match self.id {
            CodecId::G722 => clock * 2,
            _ => clock,
        }
    }

    /// What a frame costs.
    pub fn cost(&self) -> Cost {
        match self.backend {
            Backend::Own | Backend::Nothing => Cost::Cheap,
            Backend::Library(_) => Cost::Heavy,
        }
    }

    /// The number that RFC 3551 assigns to the codec with this clock and these channels.
    pub fn static_type(&self, clock: u32, channels: u8) -> Option<u8> {
        let mut types = self.static_types.iter();
        let found = types.find(|(_, c, n)| (*c, *n) == (clock, channels));
        found.map(|(number, ..)| *number)
    }

    /// A packet time that the codec has: `wanted`, in ms, rounded down to a step, one at least.
    /// Opus has a few lengths alone.
    pub fn fit_ptime(&self, wanted: u32) -> u32 {
        if self.id == CodecId::Opus {
            let mut lengths = [60, 40, 20].into_iter();
            return lengths.find(|length| *length <= wanted).unwrap_or(10);
        }
        (wanted / self.ptime_step).max(1) * self.ptime_step
    }

    /// The payload that an encoder of the codec sends if nobody says another (`a=fmtp`).
    pub fn default_fmtp(&self) -> Option<&'static str> {
        match self.id {
            CodecId::Opus => Some("useinbandfec=1"),
            CodecId::G729 => Some("annexb=yes"),
            CodecId::G729a => Some("annexb=no"),
            CodecId::Ilbc => Some("mode=30"),
            CodecId::Amr | CodecId::AmrWb => Some("octet-align=1;mode-change-capability=2"),
            CodecId::TelephoneEvent => Some("0-15"),
            _ => None,
        }
    }
}

/// The codec of an encoding name, in any case.
pub fn by_name(name: &str) -> Option<&'static CodecDef> {
    CATALOGUE
        .iter()
        .find(|def| def.name.eq_ignore_ascii_case(name))
}

/// The codec, clock and channels of a number that RFC 3551 assigns.
pub fn by_static_type(number: u8) -> Option<(&'static CodecDef, u32, u8)> {
    CATALOGUE.iter().find_map(|def| {
        let mut types = def.static_types.iter();
        let found = types.find(|(assigned, ..)| *assigned == number);
        found.map(|(_, clock, channels)| (def, *clock, *channels))
    })
}

/// The row of a codec.
pub fn of(id: CodecId) -> &'static CodecDef {
    let found = CATALOGUE.iter().find(|def| def.id == id);
    // A test holds every codec to a row.
    found.unwrap_or(&CATALOGUE_FALLBACK)
}

const fn audio(
    id: CodecId,
    name: &'static str,
    default_clock: u32,
    ptime_step: u32,
    backend: Backend,
) -> CodecDef {
    CodecDef {
        id,
        name,
        default_clock,
        default_channels: 1,
        static_types: &[],
        default_ptime: 20,
        ptime_step,
        kind: Kind::Audio,
        backend,
    }
}

const fn beside(id: CodecId, name: &'static str) -> CodecDef {
    CodecDef {
        kind: Kind::Supplemental,
        ..audio(id, name, 8000, 1, Backend::Own)
    }
}

const fn assigned(def: CodecDef, static_types: &'static [(u8, u32, u8)]) -> CodecDef {
    CodecDef {
        static_types,
        ..def
    }
}

static CATALOGUE_FALLBACK: CodecDef = audio(CodecId::Pcmu, "PCMU", 8000, 1, Backend::Own);

/// Every codec that the room knows.
pub static CATALOGUE: [CodecDef; 25] = {
    use Backend::{Library, Nothing, Own};
    let amr = Library(LibraryId::AmrNb);
    let amr_wb = Library(LibraryId::AmrWb);
    let g729 = Library(LibraryId::G729);
    [
        assigned(audio(CodecId::Pcmu, "PCMU", 8000, 1, Own), &[(0, 8000, 1)]),
        assigned(audio(CodecId::Pcma, "PCMA", 8000, 1, Own), &[(8, 8000, 1)]),
        assigned(audio(CodecId::G722, "G722", 8000, 10, Own), &[(9, 8000, 1)]),
        // A name alone is what RE makes of it: one channel, the number of two.
        assigned(
            audio(CodecId::L16, "L16", 44_100, 1, Own),
            &[(10, 44_100, 2), (11, 44_100, 1)],
        ),
        audio(CodecId::XL16, "X-L16", 44_100, 1, Own),
        audio(CodecId::G726At16, "G726-16", 8000, 10, Own),
        audio(CodecId::G726At24, "G726-24", 8000, 10, Own),
        audio(CodecId::G726At32, "G726-32", 8000, 10, Own),
        audio(CodecId::G726At40, "G726-40", 8000, 10, Own),
        audio(CodecId::Aal2G726At16, "AAL2-G726-16", 8000, 10, Own),
        audio(CodecId::Aal2G726At24, "AAL2-G726-24", 8000, 10, Own),
        audio(CodecId::Aal2G726At32, "AAL2-G726-32", 8000, 10, Own),
        audio(CodecId::Aal2G726At40, "AAL2-G726-40", 8000, 10, Own),
        CodecDef {
            default_channels: 2,
            ..audio(CodecId::Opus, "opus", 48_000, 10, Library(LibraryId::Opus))
        },
        assigned(
            audio(CodecId::G729, "G729", 8000, 10, g729),
            &[(18, 8000, 1)],
        ),
        assigned(
            audio(CodecId::G729a, "G729a", 8000, 10, g729),
            &[(18, 8000, 1)],
        ),
        audio(CodecId::Amr, "AMR", 8000, 20, amr),
        audio(CodecId::AmrWb, "AMR-WB", 16_000, 20, amr_wb),
        assigned(
            audio(CodecId::Gsm, "GSM", 8000, 20, Library(LibraryId::Gsm)),
            &[(3, 8000, 1)],
        ),
        audio(
            CodecId::Speex,
            "speex",
            16_000,
            20,
            Library(LibraryId::Speex),
        ),
        CodecDef {
            default_ptime: 30,
            ..assigned(
                audio(CodecId::G723, "G723", 8000, 30, Nothing),
                &[(4, 8000, 1)],
            )
        },
        CodecDef {
            default_ptime: 30,
            ..audio(CodecId::Ilbc, "iLBC", 8000, 10, Nothing)
        },
        audio(CodecId::Evs, "EVS", 16_000, 20, Nothing),
        assigned(beside(CodecId::ComfortNoise, "CN"), &[(13, 8000, 1)]),
        beside(CodecId::TelephoneEvent, "telephone-event"),
    ]
};

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
