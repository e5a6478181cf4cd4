//! Reports of ended calls (spec: media-behaviour §4, §16).

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use windlass_ng::CallId;

use super::model::call::{Call, Now};
use super::model::leg::Leg;
use super::model::media::Media;
use super::query::{PacketClock, heard, ports_of};
use super::timeouts::EndReason;
use crate::flow::Component;
use crate::observe::cdr::{
    CallRecord, MediaRecord, PartyRecord, StreamKind, StreamRecord, TagType, Termination,
};

/// Observer of ended calls.
pub trait Observer: Send + Sync {
    /// A call ended. Must not block.
    fn call_ended(&self, ended: &EndedCall);
}

/// A call that ended.
#[derive(Clone, Debug)]
pub struct EndedCall {
    /// Its id.
    pub id: CallId,
    /// Reason of the end.
    pub reason: EndReason,
    /// Address for call-backs: what the proxy named, else where its request came from.
    pub callback: IpAddr,
    /// Its record.
    pub record: CallRecord,
}

impl Call {
    /// Describes the call at its end.
    pub(crate) fn ended(
        &self,
        reason: EndReason,
        now: Now,
        clock: PacketClock,
        tos: Option<u8>,
    ) -> EndedCall {
        let parties = self
            .legs
            .iter()
            .map(|leg| self.party_record(leg, reason, now, clock));
        let record = CallRecord {
            call_id: self.id.to_string(),
            created_from: self.created_from,
            last_signal_s: self.last_signal.unix.as_secs(),
            tos: self.tos.or(tos).unwrap_or(0),
            parties: parties.collect(),
        };
        let callback = self.extras.as_deref().and_then(|extras| extras.callback);
        EndedCall {
            id: self.id.clone(),
            reason,
            callback: callback.unwrap_or_else(|| self.created_from.ip()),
            record,
        }
    }

    fn party_record(
        &self,
        leg: &Leg,
        reason: EndReason,
        now: Now,
        clock: PacketClock,
    ) -> PartyRecord {
        let tag = |leg: &Leg| leg.tag.as_ref().map(ToString::to_string);
        let first = self.legs.first();
        let is_caller = first.is_some_and(|first| std::ptr::eq(first, leg));
        let peer = leg.sources.first().and_then(|&peer| self.legs.get(peer));
        // A fork that lost receives no media any more, and was still called by the caller.
        let peer = peer.or_else(|| first.filter(|_| !is_caller));
        let medias = leg.medias.iter().zip(1..);
        PartyRecord {
            start: leg.created.unix,
            end: now.unix.max(leg.created.unix),
            termination: termination(reason),
            local_tag: tag(leg),
            local_tag_type: match (&leg.tag, is_caller) {
                (_, true) => TagType::From,
                (Some(_), false) => TagType::To,
                (None, false) => TagType::Unknown,
            },
            remote_tag: peer.and_then(tag),
            medias: medias
                .map(|(media, index)| media_record(media, index, clock))
                .collect(),
        }
    }

    /// Duration of the call.
    pub(crate) fn age(&self, now: Now) -> Duration {
        now.instant.saturating_duration_since(self.created.instant)
    }
}

fn media_record(media: &Media, index: u32, clock: PacketClock) -> MediaRecord {
    let busiest = ports_of(media)
        .filter(|(_, component)| *component == Component::Rtp)
        .flat_map(|(port, _)| heard(port))
        .max_by_key(|source| source.packets.load(Relaxed));
    let payload_type =
        busiest.and_then(|source| u8::try_from(source.payload_type.load(Relaxed)).ok());
    let streams = ports_of(media).filter(|(_, component)| {
        // The RTCP port beside a mux carries nothing.
        *component == Component::Rtp || !media.mux.agreed
    });
    let streams = streams.map(|(port, component)| {
        let stats = &port.stats;
        let signalled = media.endpoint.map(|endpoint| match component {
            Component::Rtp => endpoint.rtp,
            Component::Rtcp => endpoint.rtcp,
        });
        StreamRecord {
            kind: match component {
                Component::Rtp => StreamKind::Rtp,
                Component::Rtcp => StreamKind::Rtcp,
            },
            endpoint: stats.peer().destination.or(signalled),
            local: port.local,
            relayed_packets: stats.packets_in.load(Relaxed),
            relayed_bytes: stats.bytes_in.load(Relaxed),
            relayed_errors: stats.errors_in.load(Relaxed),
            last_packet_s: clock.unix_seconds(stats.last_packet_ms.load(Relaxed)),
            in_tos: 0,
        }
    });
    MediaRecord {
        index,
        payload_type,
        streams: streams.collect(),
    }
}

fn termination(reason: EndReason) -> Termination {
    match reason {
        EndReason::Regular => Termination::Regular,
        EndReason::Forced => Termination::Forced,
        EndReason::Timeout => Termination::Timeout,
        EndReason::SilentTimeout => Termination::SilentTimeout,
        EndReason::OfferTimeout => Termination::OfferTimeout,
        EndReason::FinalTimeout => Termination::FinalTimeout,
    }
}
