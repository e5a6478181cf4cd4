//! Codecs of shared libraries, opened at run time by their names: no headers, nothing to build. A
//! library that is absent makes its codecs "not supported" and nothing else.
//!
//! This is the only unsafe room of the crate. Each file wraps one library: its functions, a state
//! per encoder and decoder that is freed on drop, and lengths that are checked before the library
//! sees a byte of the network. States go from thread to thread, but are not shared.
#![expect(
    unsafe_code,
    reason = "functions of C libraries are called here and nowhere else"
)]

mod amr;
mod g729;
mod gsm;
mod opus;
mod speex;

use std::ffi::{CString, c_void};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

pub(crate) use amr::{FRAME as AMR_FRAME, NarrowDecoder, NarrowEncoder, WideDecoder, WideEncoder};
pub(crate) use g729::{Decoder as G729Decoder, Encoder as G729Encoder};
pub(crate) use gsm::{Decoder as GsmDecoder, Encoder as GsmEncoder};
pub(crate) use opus::{
    Application as OpusApplication, Decoder as OpusDecoder, Encoder as OpusEncoder,
    Settings as OpusSettings,
};
pub(crate) use speex::{Decoder as SpeexDecoder, Encoder as SpeexEncoder};

use crate::catalogue::LibraryId;

/// The libraries that were found.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    pub(crate) amr_nb: Option<Arc<amr::Narrow>>,
    pub(crate) amr_wb: Option<Arc<amr::Wide>>,
    pub(crate) g729: Option<Arc<g729::Api>>,
    pub(crate) gsm: Option<Arc<gsm::Api>>,
    pub(crate) opus: Option<Arc<opus::Api>>,
    pub(crate) speex: Option<Arc<speex::Api>>,
}

/// Why a library is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// The dynamic linker does not find it, or it cannot be loaded.
    #[error("{name}: {reason}")]
    Open {
        /// The name that was asked for.
        name: &'static str,
        /// What the linker says.
        reason: String,
    },
    /// It has no function of this name.
    #[error("{name} has no {function}")]
    Symbol {
        /// The library.
        name: &'static str,
        /// The function.
        function: &'static str,
    },
}

/// What became of a library that was looked for.
pub type Found = (LibraryId, Result<(), LibraryError>);

/// What an operator may want to know of a library.
#[derive(Clone, Copy, Debug)]
pub struct LibraryInfo {
    /// Which library.
    pub id: LibraryId,
    /// The name in options: `opus`.
    pub name: &'static str,
    /// The files that are opened.
    pub files: &'static [&'static str],
    /// Its licence.
    pub licence: &'static str,
    /// The packages of Debian that bring it.
    pub packages: &'static str,
}

/// Every library that can be opened.
pub const LIBRARIES: [LibraryInfo; 6] = [
    LibraryInfo {
        id: LibraryId::AmrNb,
        name: "amr",
        files: &[amr::NARROW],
        licence: "Apache-2.0",
        packages: "libopencore-amrnb0",
    },
    LibraryInfo {
        id: LibraryId::AmrWb,
        name: "amr",
        files: &[amr::WIDE_DECODER, amr::WIDE_ENCODER],
        licence: "Apache-2.0",
        packages: "libopencore-amrwb0 libvo-amrwbenc0",
    },
    LibraryInfo {
        id: LibraryId::G729,
        name: "g729",
        files: &[g729::FILE],
        licence: "GPL-3",
        packages: "libbcg729-0",
    },
    LibraryInfo {
        id: LibraryId::Gsm,
        name: "gsm",
        files: &[gsm::FILE],
        licence: "TU-Berlin",
        packages: "libgsm1",
    },
    LibraryInfo {
        id: LibraryId::Opus,
        name: "opus",
        files: &[opus::FILE],
        licence: "BSD-3-Clause",
        packages: "libopus0",
    },
    LibraryInfo {
        id: LibraryId::Speex,
        name: "speex",
        files: &[speex::FILE],
        licence: "BSD-3-Clause",
        packages: "libspeex1",
    },
];

impl Libraries {
    /// Opens those of `wanted` that the dynamic linker finds, with what became of each.
    pub fn open(wanted: &[LibraryId]) -> (Self, Vec<Found>) {
        Self::open_in(None, wanted)
    }

    /// The same from one directory, whose files nobody but root can change.
    pub fn open_in(dir: Option<&Path>, wanted: &[LibraryId]) -> (Self, Vec<Found>) {
        let mut found = Self::default();
        let mut results = Vec::new();
        for id in wanted {
            let result = match id {
                LibraryId::AmrNb => keep(amr::Narrow::open(dir), &mut found.amr_nb),
                LibraryId::AmrWb => keep(amr::Wide::open(dir), &mut found.amr_wb),
                LibraryId::G729 => keep(g729::Api::open(dir), &mut found.g729),
                LibraryId::Gsm => keep(gsm::Api::open(dir), &mut found.gsm),
                LibraryId::Opus => keep(opus::Api::open(dir), &mut found.opus),
                LibraryId::Speex => keep(speex::Api::open(dir), &mut found.speex),
            };
            results.push((*id, result));
        }
        (found, results)
    }

    /// Whether a library is there.
    pub fn has(&self, id: LibraryId) -> bool {
        match id {
            LibraryId::AmrNb => self.amr_nb.is_some(),
            LibraryId::AmrWb => self.amr_wb.is_some(),
            LibraryId::G729 => self.g729.is_some(),
            LibraryId::Gsm => self.gsm.is_some(),
            LibraryId::Opus => self.opus.is_some(),
            LibraryId::Speex => self.speex.is_some(),
        }
    }
}

fn keep<T>(
    opened: Result<T, LibraryError>,
    place: &mut Option<Arc<T>>,
) -> Result<(), LibraryError> {
    *place = Some(Arc::new(opened?));
    Ok(())
}

/// An opened library. It stays open for as long as anything has a function of it.
#[derive(Debug)]
struct Opened {
    library: libloading::Library,
    name: &'static str,
}

impl Opened {
    fn new(dir: Option<&Path>, name: &'static str) -> Result<Self, LibraryError> {
        let file = dir.map_or_else(|| PathBuf::from(name), |dir| dir.join(name));
        if dir.is_some() && !is_roots(&file) {
            let reason = "absent, or others than root can change it";
            return Err(LibraryError::Open {
                name,
                reason: format!("{}: {reason}", file.display()),
            });
        }
        // SAFETY: what runs on loading are the initialisers of a codec library that the operator
        // installed; it is looked up by its soname, so that its functions are those of that version.
        let library = unsafe { libloading::Library::new(&file) };
        library
            .map(|library| Self { library, name })
            .map_err(|error| LibraryError::Open {
                name,
                reason: error.to_string(),
            })
    }

    /// A function by its name.
    ///
    /// # Safety
    /// `T` is the type of a pointer to the function as the library's header declares it, and is not
    /// used after `self` is dropped.
    unsafe fn function<T: Copy>(&self, function: &'static str) -> Result<T, LibraryError> {
        let missing = LibraryError::Symbol {
            name: self.name,
            function,
        };
        let Ok(symbol) = CString::new(function) else {
            return Err(missing);
        };
        // SAFETY: the caller vouches for the type.
        let found = unsafe { self.library.get::<T>(symbol.as_bytes_with_nul()) };
        found.map(|symbol| *symbol).map_err(|_| missing)
    }
}

/// Whether a file and its directory belong to root, and nobody else may write there.
fn is_roots(file: &Path) -> bool {
    let is_safe = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|meta| meta.uid() == 0 && meta.mode() & 0o022 == 0)
    };
    is_safe(file) && file.parent().is_some_and(is_safe)
}

/// A state that a library made.
type State = NonNull<c_void>;

#[cfg(test)]
mod tests;
