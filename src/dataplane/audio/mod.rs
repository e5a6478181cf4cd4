//! Audio that is decoded and encoded on its way: the chains of flows, and the threads that heavy
//! codecs run on (spec: media-services §1).
//!
//! A chain belongs to a sink of the flow whose packets it converts. Cheap ones run where the packet is;
//! heavy ones go to a thread of the [`Pool`] with their packets, and come back with what they made.

pub(super) mod converter;
pub(super) mod job;
pub(super) mod pool;

use std::sync::Arc;

use windlass_audio::library::Libraries;
use windlass_audio::packet::Out;

use crate::flow::conversion::AudioStats;
use converter::Prepared;
use pool::{Queue, Returns};

/// What the conversion of audio needs.
#[derive(Clone, Debug, Default)]
pub struct Audio {
    /// Codecs of others that were opened.
    pub libraries: Libraries,
    /// Threads for heavy codecs; 0: as many as cores (`codec-num-threads`).
    pub threads: usize,
}

/// A worker's part of it.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) libraries: Libraries,
    pub(super) stats: Arc<AudioStats>,
    /// Jobs on their way to the threads of codecs, of all workers.
    pub(super) queue: Arc<Queue>,
    /// And on their way back to this one.
    pub(super) returns: Arc<Returns>,
    /// What a cheap chain has made; none while it is looked at.
    pub(super) out: Option<Box<Out>>,
    /// A packet that was made, before what the sink changes of it.
    pub(super) made: Vec<u8>,
    /// Converters that there were so far: tells those of one sink apart.
    pub(super) converters: u32,
    /// Chains for the plan that is put in force.
    pub(super) prepared: Vec<Prepared>,
}

impl Desk {
    pub(super) fn new(audio: &Audio) -> Self {
        Self {
            libraries: audio.libraries.clone(),
            stats: Arc::default(),
            queue: Arc::new(Queue::new(1)),
            returns: Arc::default(),
            out: None,
            made: Vec::new(),
            converters: 0,
            prepared: Vec::new(),
        }
    }
}
