//! libopus (RFC 6716).

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{LibraryError, Opened, State};
use crate::codec::CodecError;
use crate::limits::MAX_FRAME_MS;

pub(super) const FILE: &str = "libopus.so.0";

const APPLICATION_VOIP: c_int = 2048;
const APPLICATION_AUDIO: c_int = 2049;
const APPLICATION_LOW_DELAY: c_int = 2051;
const SET_BITRATE: c_int = 4002;
const SET_COMPLEXITY: c_int = 4010;

/// The longest packet that an encoder may write.
const MAX_PACKET: usize = 1275;
const MAX_PACKET_LENGTH: i32 = 1275;

type Control = unsafe extern "C" fn(*mut c_void, c_int, ...) -> c_int;

#[derive(Debug)]
pub(crate) struct Api {
    encoder_create: unsafe extern "C" fn(i32, c_int, c_int, *mut c_int) -> *mut c_void,
    encoder_ctl: Control,
    encode: unsafe extern "C" fn(*mut c_void, *const i16, c_int, *mut u8, i32) -> i32,
    encoder_destroy: unsafe extern "C" fn(*mut c_void),
    decoder_create: unsafe extern "C" fn(i32, c_int, *mut c_int) -> *mut c_void,
    decode: unsafe extern "C" fn(*mut c_void, *const u8, i32, *mut i16, c_int, c_int) -> c_int,
    decoder_destroy: unsafe extern "C" fn(*mut c_void),
    /// Last, so that it is closed after the functions are gone.
    _library: Opened,
}

impl Api {
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, LibraryError> {
        let library = Opened::new(dir, FILE)?;
        // SAFETY: the types are those of opus.h of version 1; the library stays in `_library`.
        unsafe {
            Ok(Self {
                encoder_create: library.function("opus_encoder_create")?,
                encoder_ctl: library.function("opus_encoder_ctl")?,
                encode: library.function("opus_encode")?,
                encoder_destroy: library.function("opus_encoder_destroy")?,
                decoder_create: library.function("opus_decoder_create")?,
                decode: library.function("opus_decode")?,
                decoder_destroy: library.function("opus_decoder_destroy")?,
                _library: library,
            })
        }
    }
}

/// What an encoder is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) rate: u32,
    pub(crate) channels: u8,
    pub(crate) bit_rate: u32,
    pub(crate) complexity: u8,
    pub(crate) application: Application,
}

/// What the encoder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Application {
    Audio,
    LowDelay,
    Voip,
}

#[derive(Debug)]
pub(crate) struct Encoder {
    state: State,
    channels: usize,
    api: Arc<Api>,
}

// SAFETY: the state is memory that this value alone points to, and libopus keeps nothing per thread.
unsafe impl Send for Encoder {}

impl Encoder {
    pub(crate) fn new(api: &Arc<Api>, settings: Settings) -> Result<Self, CodecError> {
        let application = match settings.application {
            Application::Audio => APPLICATION_AUDIO,
            Application::LowDelay => APPLICATION_LOW_DELAY,
            Application::Voip => APPLICATION_VOIP,
        };
        let rate = settings.rate.cast_signed();
        let channels = c_int::from(settings.channels.clamp(1, 2));
        let mut error = 0;
        // SAFETY: clocks that Opus does not have are refused by the function, which writes its
        // error to a place that lives.
        let state = unsafe { (api.encoder_create)(rate, channels, application, &raw mut error) };
        let state = NonNull::new(state).ok_or(CodecError::Library(error))?;
        let encoder = Self {
            state,
            channels: usize::from(settings.channels.clamp(1, 2)),
            api: api.clone(),
        };
        let requests = [
            (
                SET_BITRATE,
                settings.bit_rate.clamp(500, 512_000).cast_signed(),
            ),
            (SET_COMPLEXITY, i32::from(settings.complexity.min(10))),
        ];
        for (request, value) in requests {
            // SAFETY: the state lives, and both requests take one number.
            let result = unsafe { (api.encoder_ctl)(encoder.state.as_ptr(), request, value) };
            if result < 0 {
                return Err(CodecError::Library(result));
            }
        }
        Ok(encoder)
    }

    pub(crate) fn encode(
        &mut self,
        samples: &[i16],
        payload: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let frame = c_int::try_from(samples.len() / self.channels).unwrap_or_default();
        let begin = payload.len();
        payload.resize(begin + MAX_PACKET, 0);
        let room = payload.get_mut(begin..).unwrap_or_default();
        // SAFETY: `frame` samples of each channel are in `samples`, a frame of another length is
        // refused by the function, and no more is written than `room` has.
        let length = unsafe {
            let place = room.as_mut_ptr();
            (self.api.encode)(
                self.state.as_ptr(),
                samples.as_ptr(),
                frame,
                place,
                MAX_PACKET_LENGTH,
            )
        };
        let written = usize::try_from(length).unwrap_or_default();
        payload.truncate(begin + written.min(MAX_PACKET));
        if written == 0 {
            return Err(CodecError::Library(length));
        }
        Ok(())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the state came from `encoder_create`, and nothing uses it after this.
        unsafe { (self.api.encoder_destroy)(self.state.as_ptr()) }
    }
}

#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    rate: u32,
    channels: usize,
    api: Arc<Api>,
}

// SAFETY: as for the encoder.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(crate) fn new(api: &Arc<Api>, rate: u32, channels: u8) -> Result<Self, CodecError> {
        let channels = channels.clamp(1, 2);
        let mut error = 0;
        // SAFETY: as for the encoder.
        let state = unsafe {
            (api.decoder_create)(rate.cast_signed(), c_int::from(channels), &raw mut error)
        };
        Ok(Self {
            state: NonNull::new(state).ok_or(CodecError::Library(error))?,
            rate,
            channels: usize::from(channels),
            api: api.clone(),
        })
    }

    pub(crate) fn decode(
        &mut self,
        payload: &[u8],
        samples: &mut Vec<i16>,
    ) -> Result<(), CodecError> {
        let wrong = CodecError::Payload(payload.len());
        let tenths = duration_tenths(payload).ok_or(wrong)?;
        if tenths > MAX_FRAME_MS * 10 {
            return Err(wrong);
        }
        let frame = (self.rate * tenths / 10_000) as usize;
        let begin = samples.len();
        samples.resize(begin + frame * self.channels, 0);
        let room = samples.get_mut(begin..).unwrap_or_default();
        let (Ok(length), Ok(most)) = (i32::try_from(payload.len()), c_int::try_from(frame)) else {
            return Err(wrong);
        };
        // SAFETY: `length` bytes are in the payload, and `room` has `most` samples of each channel.
        let count = unsafe {
            let (from, to) = (payload.as_ptr(), room.as_mut_ptr());
            (self.api.decode)(self.state.as_ptr(), from, length, to, most, 0)
        };
        let count = usize::try_from(count).map_err(|_| CodecError::Library(count));
        samples.truncate(begin + count.unwrap_or_default().min(frame) * self.channels);
        count.map(drop)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the state came from `decoder_create`, and nothing uses it after this.
        unsafe { (self.api.decoder_destroy)(self.state.as_ptr()) }
    }
}

/// How long a packet is, in tenths of ms, by its first bytes (RFC 6716 §3.1, §3.2).
fn duration_tenths(payload: &[u8]) -> Option<u32> {
    let toc = *payload.first()?;
    let config = toc >> 3;
    let frame = match (config, config & 3) {
        (0..12, size) => *[100, 200, 400, 600].get(usize::from(size))?,
        (12..16, size) => *[100, 200].get(usize::from(size & 1))?,
        (_, size) => *[25, 50, 100, 200].get(usize::from(size))?,
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    (count > 0).then_some(frame * count)
}
