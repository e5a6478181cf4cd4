//! Streams that the kernel forwards.

use toml::de::DeValue;

use crate::config::codec::{Codec, Word};
use crate::config::setting::settings;

settings! {
    /// Streams that the kernel forwards (spec: dataplane §8).
    pub struct Offload ["offload"] {
        /// Where settled media is forwarded, if the system allows it: CAP_BPF, CAP_PERFMON and
        /// CAP_NET_ADMIN at the start. Workers forward whatever the kernel does not.
        mode: OffloadMode = OffloadMode::Auto, ModeOrTable, "mode", "table";
    }
}

/// Where settled media is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffloadMode {
    /// In the kernel, in the way that is known to work best.
    Auto,
    /// By workers alone.
    Off,
    /// In the kernel, by tc at ingress.
    Tc,
    /// In the kernel, by XDP in the driver; by tc where the driver has none.
    Xdp,
}

const MODE: Word<OffloadMode> = Word(&[
    ("auto", OffloadMode::Auto),
    ("off", OffloadMode::Off),
    ("tc", OffloadMode::Tc),
    ("xdp", OffloadMode::Xdp),
]);

/// A mode; as an option the number of a table of rtpengine's kernel module, where -1 is none.
struct ModeOrTable;

impl Codec<OffloadMode> for ModeOrTable {
    fn expected(&self) -> String {
        MODE.expected()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<OffloadMode> {
        MODE.read(value)
    }

    fn parse(&self, text: &str) -> Option<OffloadMode> {
        let table: i64 = text.parse().ok()?;
        Some(match table < 0 {
            true => OffloadMode::Off,
            false => OffloadMode::Auto,
        })
    }

    fn write(&self, value: &OffloadMode) -> Option<String> {
        MODE.write(value)
    }

    fn show(&self, value: &OffloadMode) -> String {
        match value {
            OffloadMode::Off => "-1".to_owned(),
            OffloadMode::Auto | OffloadMode::Tc | OffloadMode::Xdp => "0".to_owned(),
        }
    }
}
