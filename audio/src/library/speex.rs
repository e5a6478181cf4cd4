//! libspeex (RFC 5574).

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{LibraryError, Opened, State};
use crate::codec::CodecError;

pub(super) const FILE: &str = "libspeex.so.1";

/// Samples of a frame of 20 ms at 32 kHz, the most.
const MAX_SAMPLES: usize = 640;

/// Frames of a packet: 120 ms.
const MAX_FRAMES: usize = 6;

/// The longest frame, some 50 bytes at the highest bit rate of wide band, and the ultra-wide part.
const MAX_PACKET: usize = 1024;
const MAX_PACKET_LENGTH: c_int = 1024;

/// `SpeexBits` has 48 bytes; what a later version may add finds room.
const BITS_WORDS: usize = 32;

#[derive(Debug)]
pub(crate) struct Api {
    mode: unsafe extern "C" fn(c_int) -> *const c_void,
    encoder_init: unsafe extern "C" fn(*const c_void) -> *mut c_void,
    encode: unsafe extern "C" fn(*mut c_void, *mut i16, *mut c_void) -> c_int,
    encoder_destroy: unsafe extern "C" fn(*mut c_void),
    decoder_init: unsafe extern "C" fn(*const c_void) -> *mut c_void,
    decode: unsafe extern "C" fn(*mut c_void, *mut c_void, *mut i16) -> c_int,
    decoder_destroy: unsafe extern "C" fn(*mut c_void),
    bits_init: unsafe extern "C" fn(*mut c_void),
    bits_reset: unsafe extern "C" fn(*mut c_void),
    bits_read_from: unsafe extern "C" fn(*mut c_void, *const c_char, c_int),
    bits_write: unsafe extern "C" fn(*mut c_void, *mut c_char, c_int) -> c_int,
    bits_insert_terminator: unsafe extern "C" fn(*mut c_void),
    bits_remaining: unsafe extern "C" fn(*mut c_void) -> c_int,
    bits_destroy: unsafe extern "C" fn(*mut c_void),
    /// Last, so that it is closed after the functions are gone.
    _library: Opened,
}

impl Api {
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, LibraryError> {
        let library = Opened::new(dir, FILE)?;
        // SAFETY: the types are those of speex.h and speex_bits.h of version 1; the library stays in
        // `_library`.
        unsafe {
            Ok(Self {
                mode: library.function("speex_lib_get_mode")?,
                encoder_init: library.function("speex_encoder_init")?,
                encode: library.function("speex_encode_int")?,
                encoder_destroy: library.function("speex_encoder_destroy")?,
                decoder_init: library.function("speex_decoder_init")?,
                decode: library.function("speex_decode_int")?,
                decoder_destroy: library.function("speex_decoder_destroy")?,
                bits_init: library.function("speex_bits_init")?,
                bits_reset: library.function("speex_bits_reset")?,
                bits_read_from: library.function("speex_bits_read_from")?,
                bits_write: library.function("speex_bits_write")?,
                bits_insert_terminator: library.function("speex_bits_insert_terminator")?,
                bits_remaining: library.function("speex_bits_remaining")?,
                bits_destroy: library.function("speex_bits_destroy")?,
                _library: library,
            })
        }
    }

    /// The library's description of a clock.
    fn mode_of(&self, rate: u32) -> Option<(*const c_void, usize)> {
        let (number, samples) = match rate {
            8000 => (0, 160),
            16_000 => (1, 320),
            32_000 => (2, 640),
            _ => return None,
        };
        // SAFETY: the three modes exist in every build; the description is static data.
        let mode = unsafe { (self.mode)(number) };
        (!mode.is_null()).then_some((mode, samples))
    }
}

/// A `SpeexBits`: the library's bit buffer, on the heap so that it does not move.
#[derive(Debug)]
struct Bits {
    memory: Box<[u64; BITS_WORDS]>,
    api: Arc<Api>,
}

impl Bits {
    fn new(api: &Arc<Api>) -> Self {
        let mut bits = Self {
            memory: Box::new([0; BITS_WORDS]),
            api: api.clone(),
        };
        // SAFETY: the memory is longer than the structure that is set up in it, and aligned.
        unsafe { (api.bits_init)(bits.pointer()) };
        bits
    }

    fn pointer(&mut self) -> *mut c_void {
        self.memory.as_mut_ptr().cast()
    }
}

impl Drop for Bits {
    fn drop(&mut self) {
        let pointer = self.pointer();
        // SAFETY: it was set up in `new`, and nothing uses it after this.
        unsafe { (self.api.bits_destroy)(pointer) }
    }
}

#[derive(Debug)]
pub(crate) struct Encoder {
    state: State,
    bits: Bits,
    samples: usize,
    api: Arc<Api>,
}

// SAFETY: state and bits are memory that this value alone points to.
unsafe impl Send for Encoder {}

impl Encoder {
    pub(crate) fn new(api: &Arc<Api>, rate: u32) -> Result<Self, CodecError> {
        let (mode, samples) = api.mode_of(rate).ok_or(CodecError::Unsupported)?;
        // SAFETY: the mode is the library's own.
        let state = unsafe { (api.encoder_init)(mode) };
        Ok(Self {
            state: NonNull::new(state).ok_or(CodecError::Library(0))?,
            bits: Bits::new(api),
            samples,
            api: api.clone(),
        })
    }

    pub(crate) fn encode(
        &mut self,
        samples: &[i16],
        payload: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let bits = self.bits.pointer();
        // SAFETY: the bits are set up. The library reads as many samples as a frame has, from a copy
        // that it may change, and writes at most as many bytes as it is told.
        unsafe {
            (self.api.bits_reset)(bits);
            for frame in samples.chunks_exact(self.samples) {
                let mut copy = [0; MAX_SAMPLES];
                copy.iter_mut()
                    .zip(frame)
                    .for_each(|(to, from)| *to = *from);
                (self.api.encode)(self.state.as_ptr(), copy.as_mut_ptr(), bits);
            }
            (self.api.bits_insert_terminator)(bits);
        }
        let mut bytes = [0_u8; MAX_PACKET];
        // SAFETY: as above.
        let count = unsafe {
            let to = bytes.as_mut_ptr().cast();
            (self.api.bits_write)(bits, to, MAX_PACKET_LENGTH)
        };
        let count = usize::try_from(count).map_err(|_| CodecError::Library(count))?;
        payload.extend(bytes.iter().take(count));
        Ok(())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the state came from `encoder_init`, and nothing uses it after this.
        unsafe { (self.api.encoder_destroy)(self.state.as_ptr()) }
    }
}

#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    bits: Bits,
    samples: usize,
    api: Arc<Api>,
}

// SAFETY: state and bits are memory that this value alone points to.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(crate) fn new(api: &Arc<Api>, rate: u32) -> Result<Self, CodecError> {
        let (mode, samples) = api.mode_of(rate).ok_or(CodecError::Unsupported)?;
        // SAFETY: the mode is the library's own.
        let state = unsafe { (api.decoder_init)(mode) };
        Ok(Self {
            state: NonNull::new(state).ok_or(CodecError::Library(0))?,
            bits: Bits::new(api),
            samples,
            api: api.clone(),
        })
    }

    pub(crate) fn decode(
        &mut self,
        payload: &[u8],
        samples: &mut Vec<i16>,
    ) -> Result<(), CodecError> {
        let Ok(length) = c_int::try_from(payload.len()) else {
            return Err(CodecError::Payload(payload.len()));
        };
        let bits = self.bits.pointer();
        // SAFETY: the bits are set up; `length` bytes are copied from the payload.
        unsafe { (self.api.bits_read_from)(bits, payload.as_ptr().cast(), length) };
        for _ in 0..MAX_FRAMES {
            // What is shorter than five bits is the terminator.
            // SAFETY: the bits are set up.
            if unsafe { (self.api.bits_remaining)(bits) } < 5 {
                break;
            }
            let mut decoded = [0; MAX_SAMPLES];
            // SAFETY: it writes the samples of a frame, 640 at most.
            let result =
                unsafe { (self.api.decode)(self.state.as_ptr(), bits, decoded.as_mut_ptr()) };
            match result {
                0 => samples.extend(decoded.iter().take(self.samples)),
                -1 => break,
                error => return Err(CodecError::Library(error)),
            }
        }
        Ok(())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the state came from `decoder_init`, and nothing uses it after this.
        unsafe { (self.api.decoder_destroy)(self.state.as_ptr()) }
    }
}
