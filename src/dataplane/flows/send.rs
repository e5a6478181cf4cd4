//! Datagrams on their way out: to the sinks of a flow, and digits of our own.

use std::net::SocketAddr;
use std::time::Instant;

use super::reading::Reading;
use super::reports::reporter_of;
use super::time;
use super::{Arrived, Flows};
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::rewrite::{self, Rewritten};
use crate::dataplane::timers::Due;
use crate::flow::Injection;
use crate::flow::outgoing::NO_STREAM;
use crate::flow::outgoing_digits::Step;
use crate::flow::path::WhyUp;
use crate::flow::secure::{Numbering, Security};
use crate::flow::stats::{DropReason, FlowStats, SentPacket};
use crate::media::rtp::{Received, RtpHeader};

impl<B: Backend> Flows<B> {
    /// Sends a packet as it is to the one sink of a flow. `false`: there are several, or something
    /// is to be looked at or done on the way.
    pub(super) fn send_plain(
        &mut self,
        index: usize,
        datagram: &[u8],
        received: Option<&Received>,
        is_rtcp: bool,
        now: Instant,
    ) -> bool {
        let Some(entry) = self.entries.get(index) else {
            return true;
        };
        let (Some(target), None) = (entry.plain.of(is_rtcp), &entry.services) else {
            return false;
        };
        if is_rtcp && self.is_converted_between(index, target) {
            return false;
        }
        let numbering = entry.security.numbering();
        let Some(sender) = self.entries.get_mut(target) else {
            return false;
        };
        let (Some(destination), None) = (sender.destination, &sender.services) else {
            return false;
        };
        let (backend, sealed) = (&mut self.backend, &mut self.sealed);
        let sent = match reseals_alike(&self.arrived, sender) {
            Some(arrived) => send_as_it_is(backend, sender, arrived, destination),
            None => send(backend, sealed, sender, (datagram, numbering), destination),
        };
        match sent {
            Ok(()) => {
                if let Some(received) = received {
                    count_source(&sender.stats, received, datagram);
                }
                if let Some(hop) = &sender.hop_out {
                    hop.raise(self.passed + 1, milliseconds(self.started, now));
                }
            }
            Err(reason) => {
                if let Some(entry) = self.entries.get(index) {
                    entry.count_drop(reason);
                }
            }
        }
        true
    }

    pub(super) fn send_to_sinks(
        &mut self,
        index: usize,
        original: &[u8],
        reading: &Reading,
        received: Option<&Received>,
        (from, now): (SocketAddr, Instant),
    ) {
        let is_rtcp = reading.is_rtcp();
        let line = match (self.entries.get_mut(index), received) {
            (Some(entry), Some(received)) => match entry.line_of(original, received) {
                Ok(line) => line,
                Err(reason) => return entry.count_drop(reason),
            },
            _ => None,
        };
        let mut sent = false;
        let mut refused = None;
        let Some(entry) = self.entries.get(index) else {
            return;
        };
        let (sinks, numbering) = (entry.targets.len(), entry.security.numbering());
        for sink in 0..sinks {
            let Some(entry) = self.entries.get(index) else {
                return;
            };
            let (Some(sink), Some(&Some(target))) =
                (entry.sinks.get(sink), entry.targets.get(sink))
            else {
                continue;
            };
            if !sink.carries.takes(is_rtcp) {
                continue;
            }
            let via = sink.via;
            let rules = sink.rules.as_deref();
            let is_converted = rules.is_some_and(|rules| rules.conversion.is_some());
            let mut is_unruled = rules.is_none();
            let wanted = sink.rules.as_deref().and_then(|rules| rules.withhold.line);
            if !is_rtcp && wanted.is_some() && wanted != line {
                refused = Some(DropReason::Withheld);
                continue;
            }
            if is_converted && let Reading::Rtp { header, .. } = reading {
                match self.convert(index, via, header, original, from, now) {
                    true => sent = true,
                    false => refused = Some(DropReason::Withheld),
                }
                continue;
            }
            let mut step = Step::Unruled;
            let mut copies = 0;
            let mut is_two_byte = false;
            let rewritten = match (&sink.rules, reading) {
                (Some(rules), Reading::Rtp { header, .. }) => {
                    step = Step::of(rules, header, original, now);
                    is_two_byte = self.entries.get(target).is_some_and(Entry::is_two_byte);
                    let (two_byte, scratch) = (&mut is_two_byte, &mut self.scratch);
                    rewrite::apply(rules, header, original, two_byte, scratch)
                }
                (Some(rules), Reading::Rtcp) => {
                    rewrite::apply_to_report(&rules.change, original, &mut self.scratch)
                }
                _ => Rewritten::Unchanged,
            };
            let rewritten = match (rewritten, reading) {
                (Rewritten::Unchanged | Rewritten::Changed, Reading::Rtcp)
                    if self.is_converted_between(index, target) =>
                {
                    is_unruled = false;
                    self.translate_as(rewritten, index, target, original)
                }
                _ => rewritten,
            };
            if rewritten == Rewritten::Withheld {
                refused = Some(DropReason::Withheld);
                continue;
            }
            let Some(sender) = self.entries.get_mut(target) else {
                continue;
            };
            if is_two_byte {
                sender.services.get_or_insert_default().state.is_two_byte = true;
            }
            let mut datagram = match rewritten {
                Rewritten::Changed => &self.scratch,
                _ => original,
            };
            if let Reading::Rtp { header, .. } = reading
                && (step != Step::Unruled || sender.services.is_some())
            {
                let services = sender.services.get_or_insert_default();
                let Some(edit) = services.edit(step, header, original, now) else {
                    refused = Some(DropReason::Withheld);
                    continue;
                };
                if !edit.is_none(header) {
                    if rewritten == Rewritten::Unchanged {
                        self.scratch.clear();
                        self.scratch.extend_from_slice(original);
                    }
                    let header = rewrite::moved(header, original, &self.scratch);
                    edit.apply(&header, &mut self.scratch);
                    copies = edit.copies();
                    datagram = &self.scratch;
                }
            }
            let Some(destination) = sender.destination else {
                refused = Some(DropReason::NoDestination);
                continue;
            };
            let (backend, sealed) = (&mut self.backend, &mut self.sealed);
            // Where some reports are changed, all are sealed anew: two counts must not meet.
            let arrived = reseals_alike(&self.arrived, sender);
            let outcome = match arrived.filter(|_| is_unruled) {
                Some(arrived) => send_as_it_is(backend, sender, arrived, destination),
                None => send(backend, sealed, sender, (datagram, numbering), destination),
            };
            if let Err(reason) = outcome {
                refused = Some(reason);
                continue;
            }
            sent = true;
            if self.recorded.takes_egress() {
                sender.record_sent(now, destination, datagram);
            }
            if let Some(received) = received {
                count_source(&sender.stats, received, datagram);
            }
            if let Some(hop) = &sender.hop_out {
                hop.raise(self.passed + 1, milliseconds(self.started, now));
            }
            if let Reading::Rtp { header, .. } = reading {
                let octets = datagram.len().saturating_sub(payload_at(datagram));
                sender.count_sent(header.ssrc, header.timestamp, octets, now);
            }
            if copies > 0 {
                self.send_copies(target, destination, copies, now);
            }
        }
        let is_consumed = is_rtcp && reporter_of(&mut self.entries, index).is_some();
        if !sent
            && !is_consumed
            && let Some(entry) = self.entries.get(index)
        {
            entry.count_drop(refused.unwrap_or(DropReason::NoSink));
        }
    }

    /// Sends a datagram of an agent from a port, as it is. It counts as no media.
    pub(in crate::dataplane) fn send_from(
        &mut self,
        local: SocketAddr,
        to: SocketAddr,
        datagram: &[u8],
    ) {
        let index = self.by_local.get(local);
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else {
            return;
        };
        if self.backend.send(&mut entry.port, datagram, to).is_err() {
            FlowStats::add(&entry.stats.errors_out, 1);
        }
    }

    /// Plays a digit into a stream.
    pub(in crate::dataplane) fn inject(
        &mut self,
        injection: Injection,
        now: Instant,
    ) -> Result<(), &'static str> {
        let leaves = self.by_local.get(injection.via);
        if let Some(call) = leaves.and_then(|index| Some(self.entries.get(index)?.call)) {
            self.raise_call(call, WhyUp::Renumbered, now);
        }
        if let Some(played) = self.play_converted(&injection, now) {
            return played;
        }
        let source = self.by_local.get(injection.from);
        let heard = source.and_then(|source| self.entries.get(source)?.last_heard());
        let index = self.by_local.get(injection.via);
        let entry = index.and_then(|index| Some((index, self.entries.get_mut(index)?)));
        let (index, entry) = entry.ok_or(NO_STREAM)?;
        let outgoing = &mut entry.services.get_or_insert_default().state.outgoing;
        outgoing.play(injection, heard, now)?;
        if let Some(due) = entry.digit_due() {
            time::set(&mut self.timers, index, entry, Due::Digit, due);
        }
        Ok(())
    }

    /// Sends the packets of digits that are due from a port.
    pub(super) fn play(&mut self, index: usize, now: Instant) {
        let takes_egress = self.recorded.takes_egress();
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        while entry.digit_due().is_some_and(|due| due <= now) {
            let services = entry.services.as_deref_mut();
            let packet = services.and_then(|services| services.state.outgoing.poll(now));
            let (Some(packet), Some(destination)) = (packet, entry.destination) else {
                continue;
            };
            let (backend, sealed) = (&mut self.backend, &mut self.sealed);
            let own = (&packet[..], Numbering::Proven);
            let is_sent = send(backend, sealed, entry, own, destination).is_ok();
            let Ok(header) = RtpHeader::parse(&packet) else {
                continue;
            };
            if is_sent {
                count_source(&entry.stats, &header.arrival(&packet), &packet);
                if takes_egress {
                    entry.record_sent(now, destination, &packet);
                }
            }
            let octets = packet.len() - header.payload_at;
            entry.count_sent(header.ssrc, header.timestamp, octets, now);
        }
        if let Some(due) = entry.digit_due() {
            time::set(&mut self.timers, index, entry, Due::Digit, due);
        }
    }
}

/// RTCP as it came, if the receiver's keys are those that it came under. Sealed anew it would have
/// another number: two packets under one key and number give their difference away (RFC 3711 §9.1).
/// RTP has its own number, so sealing gives the same bytes.
fn reseals_alike<'a, P>(arrived: &'a Arrived, sender: &Entry<P>) -> Option<&'a [u8]> {
    let under = arrived.under.as_ref()?;
    match &sender.security {
        Security::Keyed(protection) if protection.seals_like(under) => Some(&arrived.datagram),
        _ => None,
    }
}

/// Sends a packet from the port of a flow, under the protection of its party. All media leaves here.
///
/// # Errors
/// The packet cannot be protected, or the system refuses it.
pub(super) fn send<B: Backend>(
    backend: &mut B,
    sealed: &mut Vec<u8>,
    entry: &mut Entry<B::Port>,
    (packet, numbering): (&[u8], Numbering),
    to: SocketAddr,
) -> Result<(), DropReason> {
    match &entry.security {
        Security::Plain => send_as_it_is(backend, entry, packet, to),
        Security::Awaited => Err(DropReason::AwaitsKeys),
        Security::Keyed(protection) => {
            sealed.clear();
            sealed.extend_from_slice(packet);
            protection.seal_numbered(sealed, numbering)?;
            send_as_it_is(backend, entry, sealed, to)
        }
    }
}

/// Sends a datagram from the port of a flow, and counts it there: what is queued and then refused
/// is taken back.
///
/// # Errors
/// The system refuses it.
pub(super) fn send_as_it_is<B: Backend>(
    backend: &mut B,
    entry: &mut Entry<B::Port>,
    datagram: &[u8],
    to: SocketAddr,
) -> Result<(), DropReason> {
    if backend.send(&mut entry.port, datagram, to).is_err() {
        FlowStats::add(&entry.stats.errors_out, 1);
        return Err(DropReason::SendFailed);
    }
    FlowStats::add(&entry.stats.packets_out, 1);
    FlowStats::add(&entry.stats.bytes_out, datagram.len() as u64);
    Ok(())
}

pub(super) fn milliseconds(started: Instant, now: Instant) -> u64 {
    let uptime = now.saturating_duration_since(started).as_millis();
    u64::try_from(uptime).unwrap_or(u64::MAX)
}

/// Where the payload of a packet begins that may have another header than it came with.
fn payload_at(datagram: &[u8]) -> usize {
    RtpHeader::parse(datagram).map_or(0, |header| header.payload_at)
}

/// Counts an RTP packet by its source. Its number may have changed on the way.
pub(super) fn count_source(stats: &FlowStats, received: &Received, datagram: &[u8]) {
    let sequence = datagram.get(2..).and_then(|rest| rest.first_chunk::<2>());
    stats.count_sent(SentPacket {
        ssrc: received.ssrc,
        sequence: sequence.map_or(received.sequence, |bytes| u16::from_be_bytes(*bytes)),
        timestamp: received.timestamp,
        bytes: datagram.len(),
    });
}
