//! Payloads of AMR and AMR-WB (RFC 4867 §4), and which mode is sent. The frames themselves are a
//! library's.

use crate::catalogue::CodecId;
use crate::codec::CodecError;
use crate::fmtp::amr::{ModeSet, Parameters};
use crate::library::{
    AMR_FRAME, Libraries, NarrowDecoder, NarrowEncoder, WideDecoder, WideEncoder,
};

/// Bits of the frames of each type; the last one is silence (RFC 4867 §3.6, TS 26.101, TS 26.201).
const NARROW_BITS: [usize; 9] = [95, 103, 118, 134, 148, 159, 204, 244, 39];
const WIDE_BITS: [usize; 10] = [132, 177, 253, 285, 317, 365, 397, 461, 477, 40];

/// Bit rates of the modes in bit/s.
const NARROW_RATES: [u32; 8] = [4750, 5150, 5900, 6700, 7400, 7950, 10_200, 12_200];
const WIDE_RATES: [u32; 9] = [
    6600, 8850, 12_650, 14_250, 15_850, 18_250, 19_850, 23_050, 23_850,
];

/// What is sent if nobody says how much: 6700 and 14250 bit/s.
const DEFAULT_MODE: u8 = 3;

/// The type of a frame without content, and the request for no mode in particular.
const NO_DATA: u8 = 15;

/// Frames of a payload: 240 ms. What is beyond is not AMR for a call.
const MAX_FRAMES: usize = 12;

/// Narrow or wide band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// AMR.
    Narrow,
    /// AMR-WB.
    Wide,
}

impl Band {
    /// Bits of a frame of a type; `None`: there is no such type.
    fn bits(self, kind: u8) -> Option<usize> {
        if kind == NO_DATA || self == Self::Wide && kind == 14 {
            return Some(0);
        }
        let table: &[usize] = match self {
            Self::Narrow => &NARROW_BITS,
            Self::Wide => &WIDE_BITS,
        };
        table.get(usize::from(kind)).copied()
    }

    fn rates(self) -> &'static [u32] {
        match self {
            Self::Narrow => &NARROW_RATES,
            Self::Wide => &WIDE_RATES,
        }
    }

    fn samples(self) -> usize {
        match self {
            Self::Narrow => 160,
            Self::Wide => 320,
        }
    }

    fn of(id: CodecId) -> Self {
        match id {
            CodecId::AmrWb => Self::Wide,
            _ => Self::Narrow,
        }
    }
}

/// Reads a payload; `take` gets each frame in storage format (RFC 4867 §5.3). The mode that is
/// asked for is returned: 15 for none.
pub fn unpack(
    payload: &[u8],
    band: Band,
    octet_align: bool,
    mut take: impl FnMut(&[u8; AMR_FRAME]),
) -> Result<u8, CodecError> {
    let wrong = CodecError::Payload(payload.len());
    let mut bits = Bits {
        bytes: payload,
        at: 0,
    };
    let request = bits.take(4).ok_or(wrong)?;
    if octet_align {
        bits.take(4).ok_or(wrong)?;
    }
    let mut kinds = [(0, false); MAX_FRAMES];
    let mut count = 0;
    loop {
        let more = bits.take(1).ok_or(wrong)?;
        let kind = bits.take(4).ok_or(wrong)?;
        let is_good = bits.take(1).ok_or(wrong)? == 1;
        if octet_align {
            bits.take(2).ok_or(wrong)?;
        }
        *kinds.get_mut(count).ok_or(wrong)? = (kind, is_good);
        count += 1;
        if more == 0 {
            break;
        }
    }
    for (kind, is_good) in kinds.into_iter().take(count) {
        let length = band.bits(kind).ok_or(wrong)?;
        let mut frame = [0; AMR_FRAME];
        // A damaged frame is none: the decoder fills the place.
        let kind = if is_good { kind } else { NO_DATA };
        let mut places = frame.iter_mut();
        if let Some(header) = places.next() {
            *header = kind << 3 | 4;
        }
        let mut left = length;
        while left > 0 {
            let now = left.min(8);
            let value = bits.take(now).ok_or(wrong)?;
            if let Some(place) = places.next() {
                *place = value << (8 - now);
            }
            left -= now;
        }
        if octet_align {
            bits.align();
        }
        take(&frame);
    }
    Ok(request)
}

/// Appends a payload of frames in storage format, without a request for a mode.
pub fn pack(frames: &[[u8; AMR_FRAME]], band: Band, octet_align: bool, payload: &mut Vec<u8>) {
    let mut writer = Writer {
        bytes: payload,
        pending: 0,
        free: 8,
    };
    writer.put(NO_DATA, 4);
    if octet_align {
        writer.align();
    }
    for (place, frame) in frames.iter().enumerate() {
        let [header, ..] = *frame;
        writer.put(u8::from(place + 1 < frames.len()), 1);
        writer.put(header >> 3 & 15, 4);
        writer.put(header >> 2 & 1, 1);
        if octet_align {
            writer.align();
        }
    }
    for frame in frames {
        let [header, data @ ..] = frame;
        let mut left = band.bits(header >> 3 & 15).unwrap_or_default();
        for byte in data {
            let now = left.min(8);
            if now == 0 {
                break;
            }
            writer.put(byte >> (8 - now), now);
            left -= now;
        }
        if octet_align {
            writer.align();
        }
    }
    writer.align();
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next bits, 8 at most.
    fn take(&mut self, count: usize) -> Option<u8> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | byte >> (7 - self.at % 8) & 1;
            self.at += 1;
        }
        Some(value)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    pending: u8,
    free: usize,
}

impl Writer<'_> {
    /// The lower `count` bits of a value, 8 at most.
    fn put(&mut self, value: u8, count: usize) {
        for bit in (0..count).rev() {
            self.free -= 1;
            self.pending |= (value >> bit & 1) << self.free;
            if self.free == 0 {
                self.align();
            }
        }
    }

    fn align(&mut self) {
        if self.free < 8 {
            self.bytes.push(self.pending);
            self.pending = 0;
            self.free = 8;
        }
    }
}

/// Which mode a frame is sent in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeControl {
    mode: u8,
    wanted: u8,
    set: ModeSet,
    is_neighbor: bool,
    period: u32,
    frames: u32,
}

impl ModeControl {
    /// By the parameters of the receiver. `bit_rate` in bit/s is the most that is sent unasked.
    pub fn new(band: Band, parameters: &Parameters, bit_rate: Option<u32>) -> Self {
        let rates = band.rates();
        let below = |most: u32| {
            let count = rates.iter().take_while(|rate| **rate <= most).count();
            u8::try_from(count.saturating_sub(1)).unwrap_or_default()
        };
        let bound = bit_rate.map_or(DEFAULT_MODE, below);
        let all = ModeSet::below(u8::try_from(rates.len()).unwrap_or_default());
        let set = parameters.mode_set.map_or(all, |set| set.common(all));
        let set = if set.modes().next().is_none() {
            all
        } else {
            set
        };
        let mode = set.at_most(bound).unwrap_or(DEFAULT_MODE);
        Self {
            mode,
            wanted: mode,
            set,
            is_neighbor: parameters.mode_change_neighbor,
            period: parameters.mode_change_period.unwrap_or(1).clamp(1, 2),
            frames: 0,
        }
    }

    /// Takes in the request of the receiver, if the mode may be sent.
    pub fn request(&mut self, mode: u8) {
        if self.set.contains(mode) {
            self.wanted = mode;
        }
    }

    /// The mode of the next frame.
    pub fn next_mode(&mut self) -> u8 {
        let may_change = self.frames.is_multiple_of(self.period);
        self.frames = self.frames.wrapping_add(1);
        if may_change && self.mode != self.wanted {
            self.mode = if self.is_neighbor {
                let mode = self.mode;
                let next = if self.wanted < mode {
                    self.set.modes().take_while(|known| *known < mode).last()
                } else {
                    self.set.modes().find(|known| *known > mode)
                };
                next.unwrap_or(self.wanted)
            } else {
                self.wanted
            };
        }
        self.mode
    }
}

#[derive(Debug)]
enum Decoding {
    Narrow(NarrowDecoder),
    Wide(WideDecoder),
}

/// Payloads to samples.
#[derive(Debug)]
pub(super) struct Decoder {
    decoding: Decoding,
    band: Band,
    octet_align: bool,
    requested: u8,
}

impl Decoder {
    pub(super) fn new(id: CodecId, fmtp: &str, libraries: &Libraries) -> Result<Self, CodecError> {
        let band = Band::of(id);
        let none = CodecError::Unsupported;
        let decoding = match band {
            Band::Narrow => {
                Decoding::Narrow(NarrowDecoder::new(libraries.amr_nb.as_ref().ok_or(none)?)?)
            }
            Band::Wide => Decoding::Wide(WideDecoder::new(libraries.amr_wb.as_ref().ok_or(none)?)?),
        };
        Ok(Self {
            decoding,
            band,
            octet_align: Parameters::parse(fmtp).octet_align,
            requested: NO_DATA,
        })
    }

    pub(super) fn decode(
        &mut self,
        payload: &[u8],
        samples: &mut Vec<i16>,
    ) -> Result<(), CodecError> {
        let decoding = &mut self.decoding;
        self.requested = unpack(
            payload,
            self.band,
            self.octet_align,
            |frame| match decoding {
                Decoding::Narrow(decoder) => decoder.frame(frame, samples),
                Decoding::Wide(decoder) => decoder.frame(frame, samples),
            },
        )?;
        Ok(())
    }

    pub(super) fn requested_mode(&self) -> Option<u8> {
        (self.requested != NO_DATA).then_some(self.requested)
    }
}

#[derive(Debug)]
enum Encoding {
    Narrow(NarrowEncoder),
    Wide(WideEncoder),
}

/// Samples to payloads.
#[derive(Debug)]
pub(super) struct Encoder {
    encoding: Encoding,
    band: Band,
    octet_align: bool,
    control: ModeControl,
}

impl Encoder {
    pub(super) fn new(
        id: CodecId,
        fmtp: &str,
        bit_rate: Option<u32>,
        libraries: &Libraries,
    ) -> Result<Self, CodecError> {
        let band = Band::of(id);
        let none = CodecError::Unsupported;
        let encoding = match band {
            Band::Narrow => {
                Encoding::Narrow(NarrowEncoder::new(libraries.amr_nb.as_ref().ok_or(none)?)?)
            }
            Band::Wide => Encoding::Wide(WideEncoder::new(libraries.amr_wb.as_ref().ok_or(none)?)?),
        };
        let parameters = Parameters::parse(fmtp);
        Ok(Self {
            encoding,
            band,
            octet_align: parameters.octet_align,
            control: ModeControl::new(band, &parameters, bit_rate),
        })
    }

    pub(super) fn encode(
        &mut self,
        samples: &[i16],
        payload: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let mut frames = [[0; AMR_FRAME]; MAX_FRAMES];
        let pieces = samples.chunks_exact(self.band.samples());
        let mut count = 0;
        for (piece, frame) in pieces.zip(&mut frames) {
            let mode = self.control.next_mode();
            let wrong = CodecError::Payload(samples.len());
            match &mut self.encoding {
                Encoding::Narrow(encoder) => {
                    encoder.frame(mode, piece.first_chunk().ok_or(wrong)?, frame)?;
                }
                Encoding::Wide(encoder) => {
                    encoder.frame(mode, piece.first_chunk().ok_or(wrong)?, frame)?;
                }
            }
            count += 1;
        }
        let frames = frames.get(..count).unwrap_or_default();
        pack(frames, self.band, self.octet_align, payload);
        Ok(())
    }

    pub(super) fn request_mode(&mut self, mode: u8) {
        self.control.request(mode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(fmtp: &str, bit_rate: Option<u32>) -> ModeControl {
        ModeControl::new(Band::Narrow, &Parameters::parse(fmtp), bit_rate)
    }

    #[test]
    fn the_first_mode_is_within_the_bound_and_the_set() {
        assert_eq!(control("", None).next_mode(), 3);
        assert_eq!(control("", Some(12_200)).next_mode(), 7);
        assert_eq!(control("", Some(7000)).next_mode(), 3);
        assert_eq!(control("mode-set=0,2", Some(12_200)).next_mode(), 2);
        assert_eq!(control("mode-set=5,7", Some(4750)).next_mode(), 5);
        let wide = Parameters::default();
        let mut wide = ModeControl::new(Band::Wide, &wide, Some(23_850));
        assert_eq!(wide.next_mode(), 8);
    }

    #[test]
    fn a_request_is_obeyed_if_the_set_has_it() {
        let mut control = control("mode-set=0,2,7", Some(5900));
        assert_eq!(control.next_mode(), 2);
        control.request(7);
        assert_eq!(control.next_mode(), 7);
        control.request(5);
        assert_eq!(control.next_mode(), 7);
    }

    #[test]
    fn neighbours_are_gone_through_one_by_one() {
        let mut control = control("mode-set=0,2,4,6;mode-change-neighbor=1", Some(10_200));
        let mut modes = vec![control.next_mode()];
        control.request(0);
        modes.extend((0..4).map(|_| control.next_mode()));
        assert_eq!(modes, [6, 4, 2, 0, 0]);
        control.request(6);
        assert_eq!((control.next_mode(), control.next_mode()), (2, 4));
    }

    #[test]
    fn a_period_lets_every_second_frame_change() {
        let mut control = control("mode-change-period=2", Some(12_200));
        assert_eq!(control.next_mode(), 7);
        control.request(0);
        assert_eq!((control.next_mode(), control.next_mode()), (7, 0));
    }

    #[test]
    fn frames_are_packed_and_unpacked_in_either_form() {
        for band in [Band::Narrow, Band::Wide] {
            for octet_align in [false, true] {
                let frames: Vec<[u8; AMR_FRAME]> = [0, 3, 8, 15, 7]
                    .into_iter()
                    .map(|kind| {
                        let mut frame = [0; AMR_FRAME];
                        let bits = band.bits(kind).unwrap();
                        for bit in 0..bits {
                            let value = u8::from(bit * 7 % 5 < 2);
                            frame[1 + bit / 8] |= value << (7 - bit % 8);
                        }
                        frame[0] = kind << 3 | 4;
                        frame
                    })
                    .collect();
                let mut payload = Vec::new();
                pack(&frames, band, octet_align, &mut payload);
                let mut read = Vec::new();
                let request = unpack(&payload, band, octet_align, |frame| read.push(*frame));
                assert_eq!(request, Ok(15));
                assert_eq!(read, frames);
                for short in 0..payload.len() {
                    let piece = &payload[..short];
                    assert!(unpack(piece, band, octet_align, |_| ()).is_err(), "{short}");
                }
            }
        }
    }

    #[test]
    fn types_that_do_not_exist_are_refused() {
        assert!(
            unpack(
                &[0xf0, 9 << 3 | 4, 0, 0, 0, 0, 0, 0],
                Band::Narrow,
                true,
                |_| ()
            )
            .is_err()
        );
        // An endless list of frames.
        assert!(unpack(&[0xff; 200], Band::Narrow, true, |_| ()).is_err());
        assert_eq!(unpack(&[0x30, 0x7c], Band::Narrow, true, |_| ()), Ok(3));
    }
}
