//! Calls as plain data, for operators; and what operators may do to them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use windlass_ng::CallId;

use super::model::call::{Call, Now};
use super::model::leg::{Leg, LegIndex};
use super::model::media::{Media, Port};
use super::query::{PacketClock, codec_in_use, heard, ports_of};
use super::serve::Calls;
use super::table::lock;
use super::timeouts::EndReason;
use super::voip::FamilyCounts;
use crate::flow::Component;

/// A call in a few words. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSummary {
    /// Its id.
    pub id: CallId,
    /// Its deletion is due.
    pub is_deleted: bool,
    /// Time at which it was created.
    pub created_s: u64,
    /// Source of the request that created it.
    pub proxy: SocketAddr,
    /// Packets go into a recording.
    pub is_recording: bool,
    /// Another engine answers for it.
    pub is_foreign: bool,
}

/// A call with its parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallView {
    /// The call as a whole.
    pub summary: CallSummary,
    /// TOS or traffic class of its media.
    pub tos: u8,
    /// Last offer or answer, seconds since 1970.
    pub last_signal_s: u64,
    /// Its parties.
    pub parties: Vec<PartyView>,
}

/// A party of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyView {
    /// Its tag; `None`: not known yet.
    pub tag: Option<String>,
    /// Its part in the call.
    pub kind: PartyKind,
    /// Label given by the proxy.
    pub label: String,
    /// Via branch.
    pub branch: String,
    /// Time since it joined.
    pub duration: Duration,
    /// Parties that it receives media of: tag, and number of the media from 1.
    pub hears: Vec<(String, usize)>,
    /// Parties that receive its media.
    pub heard_by: Vec<(String, usize)>,
    /// Its medias.
    pub medias: Vec<MediaView>,
}

/// The part of a party in its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartyKind {
    /// The party made the first offer.
    Caller,
    /// Another one.
    Callee,
    /// The party has not answered yet.
    Unknown,
}

/// A media of a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaView {
    /// Number from 1.
    pub index: usize,
    /// `audio` and so on.
    pub kind: String,
    /// Transport protocol, as in SDP.
    pub protocol: String,
    /// The codec of most packets; `None` before there are any.
    pub codec: Option<String>,
    /// RTP and RTCP.
    pub streams: Vec<StreamView>,
}

/// A local port of a media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// The port.
    pub local: SocketAddr,
    /// Address of the party.
    pub remote: Option<SocketAddr>,
    /// The port is for RTCP only.
    pub is_rtcp: bool,
    /// The first source that was heard; 0: none.
    pub ssrc: u32,
    /// Received.
    pub packets: u64,
    /// Received.
    pub bytes: u64,
    /// Dropped, or not sent on.
    pub errors: u64,
    /// Last packet, or when the party joined; seconds since 1970.
    pub last_s: u64,
}

impl Calls {
    /// All calls, the oldest first.
    pub fn summaries(&self) -> Vec<CallSummary> {
        let mut numbered = Vec::new();
        self.each_call(|call| numbered.push((call.number, call.summary())));
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, summary)| summary).collect()
    }

    /// One call.
    pub fn view(&self, id: &CallId, now: Now) -> Option<CallView> {
        let clock = self.packet_clock(now);
        let tos = self.defaults.tos;
        self.with_call(id, |call| {
            self.forwarding.catch_up(call.worker, call.number);
            call.view(now, clock, tos)
        })
    }

    /// The address families of running calls.
    pub fn family_counts(&self) -> FamilyCounts {
        let mut counts = FamilyCounts::default();
        self.each_call(|call| {
            let medias = call.legs.iter().flat_map(|leg| &leg.medias);
            counts.count(medias.flat_map(ports_of).map(|(port, _)| port.local.ip()));
        });
        counts
    }

    /// Ends a call at an operator's word. `false`: there is none.
    pub fn terminate(&self, id: &CallId, now: Now) -> bool {
        let Some(entry) = self.table.find(id) else {
            return false;
        };
        let mut slot = lock(&entry);
        let is_there = slot.is_some();
        self.end(id, &entry, &mut slot, EndReason::Forced, now);
        is_there
    }

    /// Looks at one call.
    pub(super) fn with_call<T>(&self, id: &CallId, look: impl FnOnce(&Call) -> T) -> Option<T> {
        let entry = self.table.find(id)?;
        let slot = lock(&entry);
        slot.as_ref().map(look)
    }

    /// Looks at every call, once at each.
    fn each_call(&self, mut look: impl FnMut(&Call)) {
        for (id, entry) in self.table.entries() {
            // A merged call stands in the table under each of its names.
            if let Some(call) = lock(&entry).as_ref().filter(|call| call.id == id) {
                look(call);
            }
        }
    }
}

impl Call {
    fn summary(&self) -> CallSummary {
        CallSummary {
            id: self.id.clone(),
            is_deleted: self.deletion.is_some(),
            created_s: self.created.unix.as_secs(),
            proxy: self.created_from,
            is_recording: self.is_recording(),
            is_foreign: self.is_foreign(),
        }
    }

    fn view(&self, now: Now, clock: PacketClock, tos: Option<u8>) -> CallView {
        let parties = (0..self.legs.len()).filter_map(|index| self.party_view(index, now, clock));
        CallView {
            summary: self.summary(),
            tos: self.tos.or(tos).unwrap_or(0),
            last_signal_s: self.last_signal.unix.as_secs(),
            parties: parties.collect(),
        }
    }

    fn party_view(&self, index: LegIndex, now: Now, clock: PacketClock) -> Option<PartyView> {
        let leg = self.leg(index)?;
        let hears = self.sources_of(index).into_iter();
        let hears = hears.flat_map(|(source, _)| self.shared_medias(source, leg));
        let others = (0..self.legs.len()).filter(|&other| {
            let sources = self.sources_of(other);
            sources.iter().any(|(source, _)| *source == index)
        });
        let heard_by = others.flat_map(|other| self.shared_medias(other, leg));
        let medias = leg.medias.iter().zip(1..);
        Some(PartyView {
            tag: leg.tag.as_ref().map(ToString::to_string),
            kind: match (&leg.tag, index) {
                (None, _) => PartyKind::Unknown,
                (Some(_), 0) => PartyKind::Caller,
                (Some(_), _) => PartyKind::Callee,
            },
            label: leg
                .label
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            branch: leg
                .branch
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            duration: now.instant.saturating_duration_since(leg.created.instant),
            hears: hears.collect(),
            heard_by: heard_by.collect(),
            medias: medias
                .map(|(media, index)| media_view(leg, media, index, clock))
                .collect(),
        })
    }

    /// The tag of a leg, with the number of each media that `leg` has too.
    fn shared_medias(&self, other: LegIndex, leg: &Leg) -> Vec<(String, usize)> {
        let tag = self.leg(other).and_then(|other| other.tag.as_ref());
        let tag = tag.map(ToString::to_string).unwrap_or_default();
        let count = leg.medias.len();
        (1..=count).map(|index| (tag.clone(), index)).collect()
    }
}

fn media_view(leg: &Leg, media: &Media, index: usize, clock: PacketClock) -> MediaView {
    let codec = codec_in_use(media);
    let streams = ports_of(media);
    MediaView {
        index,
        kind: media.kind_text.to_string(),
        protocol: media.transport.name().to_string(),
        codec: codec.map(|codec| String::from_utf8_lossy(&codec).into_owned()),
        streams: streams
            .map(|(port, component)| stream_view(leg, media, port, component, clock))
            .collect(),
    }
}

fn stream_view(
    leg: &Leg,
    media: &Media,
    port: &Port,
    component: Component,
    clock: PacketClock,
) -> StreamView {
    let stats = &port.stats;
    let signalled = media.endpoint.map(|endpoint| match component {
        Component::Rtp => endpoint.rtp,
        Component::Rtcp => endpoint.rtcp,
    });
    let source = heard(port).next();
    let last = clock.unix_seconds(stats.last_packet_ms.load(Relaxed));
    StreamView {
        local: port.local,
        remote: stats.peer().destination.or(signalled),
        is_rtcp: component == Component::Rtcp,
        ssrc: source.map_or(0, |source| source.ssrc.load(Relaxed)),
        packets: stats.packets_in.load(Relaxed),
        bytes: stats.bytes_in.load(Relaxed),
        errors: stats.errors_in.load(Relaxed),
        last_s: last.max(leg.created.unix.as_secs()),
    }
}
