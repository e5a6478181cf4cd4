//! The codecs that this host converts, and the libraries that bring them (spec: media-services §2).

use std::fmt::Write as _;
use std::path::Path;

use windlass_audio::catalogue::{Backend, CATALOGUE};
use windlass_audio::library::{Found, LIBRARIES, Libraries};
use windlass_audio::negotiate::Support;

use super::topic::Audio;

/// Opens the libraries that the configuration wants, with what became of each.
pub fn open(audio: &Audio) -> (Libraries, Vec<Found>) {
    let wanted = audio.libraries.iter().flat_map(|library| library.infos());
    let wanted: Vec<_> = wanted.map(|info| info.id).collect();
    Libraries::open_in(audio.library_path.as_deref().map(Path::new), &wanted)
}

/// Every codec with what can be done with it, in rtpengine's form (`--codecs`).
pub fn table(libraries: &Libraries) -> String {
    let support = Support::new(libraries);
    let mut out = String::new();
    for def in &CATALOGUE {
        let words = match support.has(def) {
            true => "fully supported",
            false => "not supported",
        };
        let _ = writeln!(out, "{:>20}: {words}", def.name);
    }
    out
}

/// The libraries with what became of them: a line each, for people.
pub fn libraries(found: &[Found]) -> String {
    let mut out = String::new();
    for info in &LIBRARIES {
        let codecs = CATALOGUE
            .iter()
            .filter(|def| def.backend == Backend::Library(info.id));
        let codecs: Vec<&str> = codecs.map(|def| def.name).collect();
        let result = found.iter().find(|(id, _)| *id == info.id);
        let state = match result {
            Some((_, Ok(()))) => "opened".to_owned(),
            Some((_, Err(error))) => format!("not there ({error}); Debian: {}", info.packages),
            None => format!(
                "not wanted: name it in [audio] libraries; Debian: {}",
                info.packages
            ),
        };
        let (name, codecs) = (info.name, codecs.join(", "));
        let _ = writeln!(
            out,
            "{name} for {codecs}, licence {}: {state}",
            info.licence
        );
    }
    out
}
