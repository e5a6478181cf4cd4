//! Paths of a recording's files (spec: media-behaviour §13).

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::limits::RECORDING_NAME_BYTES;

/// The files of one recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paths {
    /// The packets.
    pub(super) pcap: PathBuf,
    /// The metadata while it runs.
    pub(super) running: PathBuf,
    /// The metadata afterwards.
    pub(super) metadata: PathBuf,
}

/// The directories under the recording directory.
pub(super) const DIRECTORIES: [&str; 3] = ["pcaps", "tmp", "metadata"];

impl Paths {
    pub(super) fn of(dir: &Path, call_id: &[u8], random: u64, pcap: Option<&Path>) -> Self {
        let name = format!("{}-{random:016x}", encoded(call_id));
        let [pcaps, tmp, metadata] = DIRECTORIES.map(|sub| dir.join(sub));
        let chosen = pcap.map(Path::to_path_buf);
        Self {
            pcap: chosen.unwrap_or_else(|| pcaps.join(format!("{name}.pcap"))),
            running: tmp.join(format!("rtpengine-meta-{name}.tmp")),
            metadata: metadata.join(format!("rtpengine-meta-{name}.txt")),
        }
    }
}

/// A call-id as part of a file name: letters, digits and `-._~` as they are, other bytes as `%XX`.
/// A long one is cut; the random number behind it still tells the files apart.
fn encoded(call_id: &[u8]) -> String {
    let mut name = String::new();
    for byte in call_id {
        if name.len() > RECORDING_NAME_BYTES - 3 {
            break;
        }
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            name.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_by_call_and_number() {
        let paths = Paths::of(Path::new("/rec"), b"a1@192.0.2.1", 0xab, None);
        let name = "a1%40192.0.2.1-00000000000000ab";
        let expected = Paths {
            pcap: format!("/rec/pcaps/{name}.pcap").into(),
            running: format!("/rec/tmp/rtpengine-meta-{name}.tmp").into(),
            metadata: format!("/rec/metadata/rtpengine-meta-{name}.txt").into(),
        };
        assert_eq!(paths, expected);
        let chosen = Paths::of(Path::new("/rec"), b"a", 1, Some(Path::new("/x/y.pcap")));
        assert_eq!(chosen.pcap, Path::new("/x/y.pcap"));
        assert!(chosen.running.starts_with("/rec/tmp"));
    }

    #[test]
    fn no_call_id_leaves_the_directory() {
        assert_eq!(encoded(b"../../etc/x"), "..%2F..%2Fetc%2Fx");
        assert_eq!(encoded(b"a b%\0\xff~_"), "a%20b%25%00%FF~_");
        let paths = Paths::of(Path::new("/rec"), &[b'/'; 4000], u64::MAX, None);
        assert_eq!(paths.pcap.parent(), Some(Path::new("/rec/pcaps")));
        let name = paths.metadata.file_name().unwrap();
        assert!(name.len() <= 255, "{}", name.len());
        // Never cut within an escape.
        assert_eq!(encoded(&[b'/'; 4000]).len() % 3, 0);
    }
}
