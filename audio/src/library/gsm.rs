//! libgsm: GSM 06.10 (RFC 3551 §4.5.8).

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{LibraryError, Opened, State};
use crate::codec::CodecError;

pub(super) const FILE: &str = "libgsm.so.1";

/// Samples and bytes of a frame of 20 ms.
const SAMPLES: usize = 160;
const BYTES: usize = 33;

#[derive(Debug)]
pub(crate) struct Api {
    create: unsafe extern "C" fn() -> *mut c_void,
    encode: unsafe extern "C" fn(*mut c_void, *mut i16, *mut u8),
    decode: unsafe extern "C" fn(*mut c_void, *mut u8, *mut i16) -> c_int,
    destroy: unsafe extern "C" fn(*mut c_void),
    /// Last, so that it is closed after the functions are gone.
    _library: Opened,
}

impl Api {
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, LibraryError> {
        let library = Opened::new(dir, FILE)?;
        // SAFETY: the types are those of gsm.h; the library stays in `_library`.
        unsafe {
            Ok(Self {
                create: library.function("gsm_create")?,
                encode: library.function("gsm_encode")?,
                decode: library.function("gsm_decode")?,
                destroy: library.function("gsm_destroy")?,
                _library: library,
            })
        }
    }
}

/// A state for one direction: the library has one kind for both.
#[derive(Debug)]
struct Channel {
    state: State,
    api: Arc<Api>,
}

// SAFETY: the state is memory that this value alone points to, and the library has no other.
unsafe impl Send for Channel {}

impl Channel {
    fn new(api: &Arc<Api>) -> Result<Self, CodecError> {
        // SAFETY: the function has no arguments.
        let state = unsafe { (api.create)() };
        Ok(Self {
            state: NonNull::new(state).ok_or(CodecError::Library(0))?,
            api: api.clone(),
        })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: the state came from `create`, and nothing uses it after this.
        unsafe { (self.api.destroy)(self.state.as_ptr()) }
    }
}

#[derive(Debug)]
pub(crate) struct Encoder(Channel);

impl Encoder {
    pub(crate) fn new(api: &Arc<Api>) -> Result<Self, CodecError> {
        Channel::new(api).map(Self)
    }

    pub(crate) fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        for frame in samples.as_chunks::<SAMPLES>().0 {
            // The library may change what it reads.
            let mut frame = *frame;
            let mut bytes = [0; BYTES];
            // SAFETY: it reads 160 samples and writes 33 bytes.
            unsafe {
                let state = self.0.state.as_ptr();
                (self.0.api.encode)(state, frame.as_mut_ptr(), bytes.as_mut_ptr());
            }
            payload.extend_from_slice(&bytes);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Decoder(Channel);

impl Decoder {
    pub(crate) fn new(api: &Arc<Api>) -> Result<Self, CodecError> {
        Channel::new(api).map(Self)
    }

    pub(crate) fn decode(
        &mut self,
        payload: &[u8],
        samples: &mut Vec<i16>,
    ) -> Result<(), CodecError> {
        let (frames, []) = payload.as_chunks::<BYTES>() else {
            return Err(CodecError::Payload(payload.len()));
        };
        for frame in frames {
            let mut bytes = *frame;
            let mut decoded = [0; SAMPLES];
            // SAFETY: it reads 33 bytes and writes 160 samples.
            let result = unsafe {
                let state = self.0.state.as_ptr();
                (self.0.api.decode)(state, bytes.as_mut_ptr(), decoded.as_mut_ptr())
            };
            if result != 0 {
                return Err(CodecError::Library(result));
            }
            samples.extend_from_slice(&decoded);
        }
        Ok(())
    }
}
