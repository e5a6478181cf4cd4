//! opencore-amr and vo-amrwbenc: frames of AMR and AMR-WB in their storage format (RFC 4867 §5.3).
//! How they are packed into payloads is [`crate::codec::amr`].

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{LibraryError, Opened, State};
use crate::codec::CodecError;

pub(super) const NARROW: &str = "libopencore-amrnb.so.0";
pub(super) const WIDE_DECODER: &str = "libopencore-amrwb.so.0";
pub(super) const WIDE_ENCODER: &str = "libvo-amrwbenc.so.0";

/// Room for a frame of any mode, header included: 32 bytes of AMR, 61 of AMR-WB.
pub(crate) const FRAME: usize = 64;

type Init = unsafe extern "C" fn() -> *mut c_void;
type Exit = unsafe extern "C" fn(*mut c_void);
type Decode = unsafe extern "C" fn(*mut c_void, *const u8, *mut i16, c_int);
type Encode = unsafe extern "C" fn(*mut c_void, c_int, *const i16, *mut u8, c_int) -> c_int;

/// opencore-amrnb.
#[derive(Debug)]
pub(crate) struct Narrow {
    encoder_init: unsafe extern "C" fn(c_int) -> *mut c_void,
    encode: Encode,
    encoder_exit: Exit,
    decoder_init: Init,
    decode: Decode,
    decoder_exit: Exit,
    /// Last, so that it is closed after the functions are gone.
    _library: Opened,
}

impl Narrow {
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, LibraryError> {
        let library = Opened::new(dir, NARROW)?;
        // SAFETY: the types are those of interf_enc.h and interf_dec.h; the library stays.
        unsafe {
            Ok(Self {
                encoder_init: library.function("Encoder_Interface_init")?,
                encode: library.function("Encoder_Interface_Encode")?,
                encoder_exit: library.function("Encoder_Interface_exit")?,
                decoder_init: library.function("Decoder_Interface_init")?,
                decode: library.function("Decoder_Interface_Decode")?,
                decoder_exit: library.function("Decoder_Interface_exit")?,
                _library: library,
            })
        }
    }
}

/// opencore-amrwb and vo-amrwbenc.
#[derive(Debug)]
pub(crate) struct Wide {
    encoder_init: Init,
    encode: Encode,
    encoder_exit: Exit,
    decoder_init: Init,
    decode: Decode,
    decoder_exit: Exit,
    /// Last, so that they are closed after the functions are gone.
    _libraries: [Opened; 2],
}

impl Wide {
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, LibraryError> {
        let (decoder, encoder) = (
            Opened::new(dir, WIDE_DECODER)?,
            Opened::new(dir, WIDE_ENCODER)?,
        );
        // SAFETY: the types are those of dec_if.h and enc_if.h; the libraries stay.
        unsafe {
            Ok(Self {
                encoder_init: encoder.function("E_IF_init")?,
                encode: encoder.function("E_IF_encode")?,
                encoder_exit: encoder.function("E_IF_exit")?,
                decoder_init: decoder.function("D_IF_init")?,
                decode: decoder.function("D_IF_decode")?,
                decoder_exit: decoder.function("D_IF_exit")?,
                _libraries: [decoder, encoder],
            })
        }
    }
}

/// Makes the four states, which differ in their functions and the length of a frame.
macro_rules! states {
    ($api:ident, $samples:literal, $modes:literal, $encoder:ident, $decoder:ident, |$a:ident| $create:expr) => {
        #[derive(Debug)]
        pub(crate) struct $encoder {
            state: State,
            api: Arc<$api>,
        }

        // SAFETY: the state is memory that this value alone points to.
        unsafe impl Send for $encoder {}

        impl $encoder {
            pub(crate) fn new($a: &Arc<$api>) -> Result<Self, CodecError> {
                // SAFETY: the argument, if there is one, switches silence frames off.
                let state = unsafe { $create };
                Ok(Self {
                    state: NonNull::new(state).ok_or(CodecError::Library(0))?,
                    api: $a.clone(),
                })
            }

            /// Encodes 20 ms. The frame has its header byte in front; its length is returned.
            pub(crate) fn frame(
                &mut self,
                mode: u8,
                samples: &[i16; $samples],
                frame: &mut [u8; FRAME],
            ) -> Result<usize, CodecError> {
                // The library overwrites what it reads.
                let mut copy = *samples;
                let mode = c_int::from(mode.min($modes - 1));
                // SAFETY: it reads the samples of a frame and writes one, which is shorter than the
                // room; the mode is one that it has.
                let count = unsafe {
                    let (from, to) = (copy.as_mut_ptr().cast_const(), frame.as_mut_ptr());
                    (self.api.encode)(self.state.as_ptr(), mode, from, to, 0)
                };
                let length = usize::try_from(count).unwrap_or_default();
                if length == 0 || length > FRAME {
                    return Err(CodecError::Library(count));
                }
                Ok(length)
            }
        }

        impl Drop for $encoder {
            fn drop(&mut self) {
                // SAFETY: the state came from the library, and nothing uses it after this.
                unsafe { (self.api.encoder_exit)(self.state.as_ptr()) }
            }
        }

        #[derive(Debug)]
        pub(crate) struct $decoder {
            state: State,
            api: Arc<$api>,
        }

        // SAFETY: the state is memory that this value alone points to.
        unsafe impl Send for $decoder {}

        impl $decoder {
            pub(crate) fn new(api: &Arc<$api>) -> Result<Self, CodecError> {
                // SAFETY: the function has no arguments.
                let state = unsafe { (api.decoder_init)() };
                Ok(Self {
                    state: NonNull::new(state).ok_or(CodecError::Library(0))?,
                    api: api.clone(),
                })
            }

            /// Appends 20 ms. The frame has its header byte in front, and the length of its mode.
            pub(crate) fn frame(&mut self, frame: &[u8; FRAME], samples: &mut Vec<i16>) {
                let mut decoded = [0; $samples];
                // SAFETY: however long it takes the frame for, it is in the room; it writes the
                // samples of 20 ms.
                unsafe {
                    let (from, to) = (frame.as_ptr(), decoded.as_mut_ptr());
                    (self.api.decode)(self.state.as_ptr(), from, to, 0);
                }
                samples.extend_from_slice(&decoded);
            }
        }

        impl Drop for $decoder {
            fn drop(&mut self) {
                // SAFETY: the state came from the library, and nothing uses it after this.
                unsafe { (self.api.decoder_exit)(self.state.as_ptr()) }
            }
        }
    };
}

states!(Narrow, 160, 8, NarrowEncoder, NarrowDecoder, |api| (api
    .encoder_init)(
    0
));
states!(Wide, 320, 9, WideEncoder, WideDecoder, |api| (api
    .encoder_init)(
));
