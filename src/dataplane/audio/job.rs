//! What a chain is given and what comes of it, wherever it runs.

use std::ops::Range;

use smallvec::SmallVec;
use windlass_audio::chain::{Chain, Gaps, Mask, Verdict, Work};
use windlass_audio::codec::cn;
use windlass_audio::dtmf::Change;
use windlass_audio::input::Refused;
use windlass_audio::packet::{Header, Out};

use crate::limits::CODEC_WAITING;
use crate::media::dtmf::{Digit, Pressed};

/// How a packet comes to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) enum Kind {
    /// As it arrived.
    Packet,
    /// It is not to go out, and leaves no gap.
    Passing,
    /// After it was put into order.
    InOrder(Gaps),
    /// It did not come: something is made for so many ticks.
    Missing(u32),
}

/// Something for a chain to do.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataplane) struct Input<'a> {
    pub(in crate::dataplane) kind: Kind,
    /// What takes the place of digits that begin now.
    pub(in crate::dataplane) mask: Mask,
    pub(in crate::dataplane) is_muted: bool,
    pub(in crate::dataplane) header: Header,
    pub(in crate::dataplane) payload: &'a [u8],
}

/// Inputs that wait; their memory is kept.
#[derive(Debug, Default)]
pub(in crate::dataplane) struct Inputs {
    items: Vec<(Kind, Mask, bool, Header, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Inputs {
    /// Whether there was room.
    pub(super) fn push(&mut self, input: &Input<'_>) -> bool {
        if self.items.len() >= CODEC_WAITING {
            return false;
        }
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(input.payload);
        let range = begin..self.bytes.len();
        let Input {
            kind,
            mask,
            is_muted,
            header,
            ..
        } = *input;
        self.items.push((kind, mask, is_muted, header, range));
        true
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
    }

    fn iter(&self) -> impl Iterator<Item = Input<'_>> {
        let items = self.items.iter();
        items.map(|(kind, mask, is_muted, header, range)| Input {
            kind: *kind,
            mask: *mask,
            is_muted: *is_muted,
            header: *header,
            payload: self.bytes.get(range.clone()).unwrap_or_default(),
        })
    }
}

/// What came of inputs, beside packets.
#[derive(Debug, Default)]
pub(in crate::dataplane) struct Outcome {
    /// Packets that a codec could not deal with, or that there is no chain for.
    pub(in crate::dataplane) errors: u32,
    /// Packets that there was no time for.
    pub(in crate::dataplane) busy: u32,
    /// Packets that came twice, or too late for their place.
    pub(in crate::dataplane) reordered: u32,
    /// Packets that came too late for their time.
    pub(in crate::dataplane) late: u32,
    /// Packets beyond those that one may become.
    pub(in crate::dataplane) overflow: u32,
    pub(in crate::dataplane) decoded: Work,
    pub(in crate::dataplane) encoded: Work,
    /// Bytes of payload that were decoded.
    pub(in crate::dataplane) bytes: usize,
    /// Digits that ended in the audio.
    pub(in crate::dataplane) pressed: SmallVec<[Pressed; 1]>,
    /// What AMR's sender asks the other direction for.
    pub(in crate::dataplane) requested_mode: Option<u8>,
}

impl Outcome {
    fn add(&mut self, verdict: &Verdict, bytes: usize) {
        self.errors += verdict.codec_errors;
        self.reordered += u32::from(verdict.refused == Some(Refused::Late));
        merge(&mut self.decoded, &verdict.decoded);
        merge(&mut self.encoded, &verdict.encoded);
        if verdict.decoded.frames > 0 {
            self.bytes += bytes;
        }
        if let Some(Change::End {
            event,
            volume,
            duration_ms,
        }) = verdict.digit
            && let Some(digit) = Digit::from_code(event)
        {
            self.pressed.push(Pressed {
                digit,
                duration_ms,
                volume,
            });
        }
        self.requested_mode = verdict.requested_mode.or(self.requested_mode);
    }
}

fn merge(sum: &mut Work, work: &Work) {
    if work.codec.is_some() {
        *sum = Work {
            codec: work.codec,
            frames: sum.frames.saturating_add(work.frames),
            micros: sum.micros.saturating_add(work.micros),
            samples: sum.samples.saturating_add(work.samples),
        };
    }
}

/// A chain, and the noise that it fills gaps with.
#[derive(Debug)]
pub(in crate::dataplane) struct Tool {
    pub(super) chain: Chain,
    pub(super) noise: Option<cn::Description>,
}

impl Tool {
    /// Does one thing; the packets that come of it are appended to `out`.
    pub(super) fn feed(&mut self, input: &Input<'_>, out: &mut Out, outcome: &mut Outcome) {
        let chain = &mut self.chain;
        chain.set_mask(input.mask);
        chain.set_muted(input.is_muted);
        let refused = out.refused();
        let (header, payload) = (input.header, input.payload);
        let verdict = match input.kind {
            Kind::Packet => chain.push(header, payload, out),
            Kind::Passing => chain.skip(header, out),
            Kind::InOrder(gaps) => chain.push_in_order(header, payload, gaps, out),
            Kind::Missing(ticks) => chain.fill(header.ssrc, ticks, self.noise.as_ref(), out),
        };
        outcome.add(&verdict, payload.len());
        outcome.overflow += out.refused() - refused;
    }
}

/// Which converter a job is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dataplane) struct Ticket {
    /// The flow, and what tells it from others in its place.
    pub(in crate::dataplane) flow: usize,
    pub(in crate::dataplane) generation: u32,
    /// The converter.
    pub(in crate::dataplane) number: u32,
}

/// A chain on its way, with its inputs and what it made of them.
#[derive(Debug)]
pub(in crate::dataplane) struct Job {
    pub(super) tool: Tool,
    pub(super) inputs: Inputs,
    pub(in crate::dataplane) out: Out,
    pub(in crate::dataplane) outcome: Outcome,
    pub(in crate::dataplane) ticket: Ticket,
    /// A defect ended its run: the chain is not to be used again.
    pub(super) is_broken: bool,
}

impl Job {
    /// A chain that has nothing to do yet.
    pub(super) fn new(tool: Tool) -> Self {
        Self {
            tool,
            inputs: Inputs::default(),
            out: Out::default(),
            outcome: Outcome::default(),
            ticket: Ticket::default(),
            is_broken: false,
        }
    }

    /// Does what there is to do.
    pub(super) fn run(&mut self) {
        for input in self.inputs.iter() {
            self.tool.feed(&input, &mut self.out, &mut self.outcome);
        }
        self.inputs.clear();
    }
}
