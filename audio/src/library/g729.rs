//! bcg729: G.729 Annexes A and B (RFC 3551 §4.5.6). It is GPL, so it is opened only if the operator
//! names it.

use std::ffi::c_void;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{LibraryError, Opened, State};
use crate::codec::CodecError;

pub(super) const FILE: &str = "libbcg729.so.0";

/// Samples and bytes of a frame of 10 ms; a frame of silence has two bytes.
const SAMPLES: usize = 80;
const BYTES: usize = 10;
const SILENCE_BYTES: usize = 2;

#[derive(Debug)]
pub(crate) struct Api {
    encoder_init: unsafe extern "C" fn(u8) -> *mut c_void,
    encode: unsafe extern "C" fn(*mut c_void, *const i16, *mut u8, *mut u8),
    encoder_close: unsafe extern "C" fn(*mut c_void),
    decoder_init: unsafe extern "C" fn() -> *mut c_void,
    decode: unsafe extern "C" fn(*mut c_void, *const u8, u8, u8, u8, u8, *mut i16),
    decoder_close: unsafe extern "C" fn(*mut c_void),
    /// Last, so that it is closed after the functions are gone.
    _library: Opened,
}

impl Api {
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, LibraryError> {
        let library = Opened::new(dir, FILE)?;
        // SAFETY: the types are those of bcg729's encoder.h and decoder.h since 1.0.2; the library
        // stays in `_library`.
        unsafe {
            Ok(Self {
                encoder_init: library.function("initBcg729EncoderChannel")?,
                encode: library.function("bcg729Encoder")?,
                encoder_close: library.function("closeBcg729EncoderChannel")?,
                decoder_init: library.function("initBcg729DecoderChannel")?,
                decode: library.function("bcg729Decoder")?,
                decoder_close: library.function("closeBcg729DecoderChannel")?,
                _library: library,
            })
        }
    }
}

#[derive(Debug)]
pub(crate) struct Encoder {
    state: State,
    api: Arc<Api>,
}

// SAFETY: the state is memory that this value alone points to.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Silence is encoded like anything else: frames of it need a receiver that wants them.
    pub(crate) fn new(api: &Arc<Api>) -> Result<Self, CodecError> {
        // SAFETY: the argument switches the detection of silence off.
        let state = unsafe { (api.encoder_init)(0) };
        Ok(Self {
            state: NonNull::new(state).ok_or(CodecError::Library(0))?,
            api: api.clone(),
        })
    }

    pub(crate) fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        for frame in samples.as_chunks::<SAMPLES>().0 {
            let mut bytes = [0; BYTES];
            let mut length = 0;
            // SAFETY: it reads 80 samples and writes at most 10 bytes and their number.
            unsafe {
                let (to, count) = (bytes.as_mut_ptr(), &raw mut length);
                (self.api.encode)(self.state.as_ptr(), frame.as_ptr(), to, count);
            }
            payload.extend(bytes.iter().take(usize::from(length)));
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the state came from `encoder_init`, and nothing uses it after this.
        unsafe { (self.api.encoder_close)(self.state.as_ptr()) }
    }
}

#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    api: Arc<Api>,
}

// SAFETY: the state is memory that this value alone points to.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(crate) fn new(api: &Arc<Api>) -> Result<Self, CodecError> {
        // SAFETY: the function has no arguments.
        let state = unsafe { (api.decoder_init)() };
        Ok(Self {
            state: NonNull::new(state).ok_or(CodecError::Library(0))?,
            api: api.clone(),
        })
    }

    pub(crate) fn decode(
        &mut self,
        payload: &[u8],
        samples: &mut Vec<i16>,
    ) -> Result<(), CodecError> {
        let (frames, silence) = payload.as_chunks::<BYTES>();
        if !(silence.is_empty() || silence.len() == SILENCE_BYTES) {
            return Err(CodecError::Payload(payload.len()));
        }
        for frame in frames {
            self.frame(frame, 0, samples);
        }
        if !silence.is_empty() {
            let mut frame = [0; BYTES];
            frame
                .iter_mut()
                .zip(silence)
                .for_each(|(to, from)| *to = *from);
            self.frame(&frame, 1, samples);
        }
        Ok(())
    }

    fn frame(&mut self, frame: &[u8; BYTES], is_silence: u8, samples: &mut Vec<i16>) {
        let length = if is_silence == 1 {
            SILENCE_BYTES
        } else {
            BYTES
        };
        let length = u8::try_from(length).unwrap_or_default();
        let mut decoded = [0; SAMPLES];
        // SAFETY: ten bytes can be read whatever it takes the frame for, and 80 samples are written.
        unsafe {
            let (state, from) = (self.state.as_ptr(), frame.as_ptr());
            (self.api.decode)(state, from, length, 0, is_silence, 0, decoded.as_mut_ptr());
        }
        samples.extend_from_slice(&decoded);
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the state came from `decoder_init`, and nothing uses it after this.
        unsafe { (self.api.decoder_close)(self.state.as_ptr()) }
    }
}
