//! Reports about converted streams, in the numbers of who gets them (spec: media-services §4.3).

use super::Flows;
use super::convert::converter_of;
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::rewrite::Rewritten;
use crate::media::report::Block;
use crate::media::report::converted::{self, Figures, Reception};

impl<B: Backend> Flows<B> {
    /// The RTP flow of the stream that a flow belongs to.
    fn rtp_of(&self, index: usize) -> usize {
        let entry = self.entries.get(index);
        entry.and_then(|entry| entry.sibling).unwrap_or(index)
    }

    /// Whether audio is converted between the parties of two flows, whichever way.
    pub(super) fn is_converted_between(&self, one: usize, two: usize) -> bool {
        let [one, two] = [one, two].map(|index| self.entries.get(self.rtp_of(index)));
        let (Some(one), Some(two)) = (one, two) else {
            return false;
        };
        converts(one, two) || converts(two, one)
    }

    /// Translates what a sink left of a compound.
    pub(super) fn translate_as(
        &mut self,
        rewritten: Rewritten,
        from: usize,
        to: usize,
        original: &[u8],
    ) -> Rewritten {
        if rewritten == Rewritten::Changed {
            let left = std::mem::take(&mut self.scratch);
            self.translate(from, to, &left);
        } else {
            self.translate(from, to, original);
        }
        Rewritten::Changed
    }

    /// Writes a compound of the party of one flow for that of another: into the scratch buffer.
    fn translate(&mut self, from: usize, to: usize, compound: &[u8]) {
        let (from, to) = (self.rtp_of(from), self.rtp_of(to));
        let address = |index| self.entries.get(index).map(|entry| entry.lease.local());
        let (Some(from_local), Some(to_local)) = (address(from), address(to)) else {
            return;
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let entries = std::cell::RefCell::new(&mut self.entries);
        let sends = |ssrc, timestamp| {
            let mut entries = entries.borrow_mut();
            let converter = converter_of(entries.get_mut(from), to_local)?;
            let output = converter.output(ssrc)?;
            let mut sent = converter.sent.iter();
            let sent = sent.find(|sent| sent.ssrc == ssrc).copied();
            let sent = sent.unwrap_or_default();
            Some(Figures {
                timestamp: output.map(timestamp),
                packets: sent.packets,
                octets: sent.octets,
            })
        };
        let received = |block: &Block| {
            let mut entries = entries.borrow_mut();
            let heard = entries.get_mut(to)?;
            let mut receptions = heard.receptions.iter();
            let reception = receptions.find(|it| it.ssrc == block.ssrc)?;
            let (received, lost) = (reception.received(), reception.lost());
            let highest = reception.highest();
            let converter = converter_of(Some(heard), from_local)?;
            let clocks = converter.output(block.ssrc)?.clocks();
            let mut sent = converter.sent.iter_mut();
            let told = sent.find(|sent| sent.ssrc == block.ssrc)?;
            let expected = received + lost;
            let (expected_then, lost_then) =
                std::mem::replace(&mut told.reported, (expected, lost));
            // RFC 3550 §A.3; what came late may have made good for a loss.
            let since = expected.saturating_sub(expected_then);
            let fraction = (lost.saturating_sub(lost_then) << 8).checked_div(since);
            Some(Reception {
                fraction_lost: u8::try_from(fraction.unwrap_or_default()).unwrap_or(u8::MAX),
                lost: i32::try_from(lost).unwrap_or(i32::MAX),
                highest,
                jitter: in_source_clock(block.jitter, clocks),
            })
        };
        converted::convert(compound, &mut scratch, sends, received);
        self.scratch = scratch;
    }

    /// A block that came from the party of a flow, with its jitter in the clock of the source.
    pub(super) fn in_clock_of_source(&self, index: usize, block: &Block) -> Block {
        let clocks = self.entries.get(self.rtp_of(index)).and_then(|entry| {
            let local = entry.lease.local();
            let siblings = self.by_call.get(&entry.call)?;
            let mut heard = siblings.iter().filter_map(|&index| self.entries.get(index));
            let heard = heard.find(|entry| entry.hears(block.ssrc))?;
            let mut converters = heard.services.as_deref()?.converters.iter();
            let converter = converters.find(|it| it.via == local)?;
            Some(converter.output(block.ssrc)?.clocks())
        });
        Block {
            jitter: clocks.map_or(block.jitter, |clocks| in_source_clock(block.jitter, clocks)),
            ..*block
        }
    }
}

/// Whether what one flow hears is converted for the party of the other.
fn converts<P>(one: &Entry<P>, other: &Entry<P>) -> bool {
    let services = one.services.as_deref();
    let mut converters = services.into_iter().flat_map(|it| &it.converters);
    converters.any(|converter| converter.via == other.lease.local())
}

/// Ticks of a converted stream, in the clock of its source.
fn in_source_clock(ticks: u32, (source, converted): (u32, u32)) -> u32 {
    let ticks = u64::from(ticks) * u64::from(source) / u64::from(converted.max(1));
    u32::try_from(ticks).unwrap_or(u32::MAX)
}
