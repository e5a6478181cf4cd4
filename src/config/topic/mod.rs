//! Settings by topic, one struct per section of the file. Each setting stands on its own: what
//! joins several is in `check`.

mod audio;
mod control;
mod dataplane;
mod export;
mod media;
mod offload;
mod output;
mod recording;
mod redis;

pub use audio::{Audio, Library, LibraryNameError, Liking, LikingError};
pub use control::{Control, Pmtu};
pub use dataplane::{Dataplane, Steering};
pub use export::{Graphite, Homer, HomerProtocol, Mqtt, MqttScope};
pub use media::{
    CertificateCipher, Destinations, Dtls, Ice, JitterBuffer, MosBasis, MosModel, Ports,
    PortsError, Quality, Signalling, Signature, SsrcReporting,
};
pub use offload::{Offload, OffloadMode};
pub use output::{Process, Syslog};
pub use recording::{Dtmf, Recording, RecordingFormat, RecordingMethod};
pub use redis::{Redis, RedisFormat};

/// Calls a macro with every group: its field in [`super::Config`] and its type.
macro_rules! for_each_group {
    ($do:ident) => {
        $do! {
            control: Control,
            signalling: Signalling,
            dtls: Dtls,
            ice: Ice,
            quality: Quality,
            jitter_buffer: JitterBuffer,
            dataplane: Dataplane,
            offload: Offload,
            audio: Audio,
            recording: Recording,
            dtmf: Dtmf,
            syslog: Syslog,
            process: Process,
            redis: Redis,
            homer: Homer,
            graphite: Graphite,
            mqtt: Mqtt,
        }
    };
}

pub(super) use for_each_group;

/// The longest time that can be set, in seconds.
pub(super) const YEAR: u64 = 31_536_000;

/// As [`YEAR`], in milliseconds.
const YEAR_MS: u64 = YEAR * 1000;

const COUNT: u64 = u32::MAX as u64;
