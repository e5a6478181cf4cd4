//! A call: its legs, and what goes for all of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_ng::{Branch, CallId, Tag, Value};

use super::codes::Codes;
use super::digit_block::DigitTrigger;
use super::foreign::Foreign;
use super::in_force::InForce;
use super::leg::{Leg, LegIndex, Muted, Presence};
use super::media::Media;
use super::proposal::Proposal;
use super::share::Share;
use super::told::Told;
use crate::flow::agent::{AgentNumber, AgentSpec, Found};

/// A moment, on the clock that timers use and on the one that people read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// Monotonic time.
    pub instant: Instant,
    /// Time since 1970-01-01 UTC.
    pub unix: Duration,
}

/// One call: the state made by signalling. Its packets belong to the data plane.
///
/// A command changes a copy, which takes the place of the call once everything has succeeded
/// ([`Calls::commit`](crate::call::serve::Calls::commit)): texts and counters are shared with it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    /// Process-wide number, the data plane's name for the call.
    pub(crate) number: u64,
    /// The worker that owns all of its flows.
    pub(crate) worker: usize,
    pub(crate) created: Now,
    /// Source of the request that created it.
    pub(crate) created_from: SocketAddr,
    /// Last offer or answer.
    pub(crate) last_signal: Now,
    pub(crate) legs: Vec<Leg>,
    /// The number of the next media; see [`Media::number`].
    pub(crate) next_number: u32,
    /// Time at which the call is deleted.
    pub(crate) deletion: Option<Instant>,
    /// Discard all media (drop-traffic).
    pub(crate) discard: bool,
    /// TOS of the call's media, if it was given.
    pub(crate) tos: Option<u8>,
    /// State that only some calls have.
    pub(crate) extras: Option<Box<CallExtras>>,
    /// Events already logged for its sources.
    pub(crate) told: Told,
    /// Its part in the sums over all calls.
    pub(crate) share: Option<Arc<Share>>,
    /// It is left out of the log.
    pub(crate) is_quiet: bool,
    /// What the data plane has of it.
    pub(crate) in_force: InForce,
}

/// State that only some calls have.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallExtras {
    /// Media that is withheld from all parties.
    pub(crate) muted: Muted,
    /// Destination of digit reports, in addition to the configured ones.
    pub(crate) digits_to: Option<SocketAddr>,
    /// Address for call-backs that the proxy named.
    pub(crate) callback: Option<IpAddr>,
    /// Opaque text given by the proxy for the call as a whole.
    pub(crate) metadata: Option<Arc<str>>,
    /// Pieces of offers that came before their offer: tag, text, arrival (ng-protocol §10.1).
    pub(crate) early_fragments: Vec<(Tag, Arc<[u8]>, Instant)>,
    /// PCM is forwarded to the recording daemon.
    pub(crate) is_forwarding: bool,
    /// The recording: running, paused, or ending with the command.
    pub(crate) recording: Option<Recording>,
    /// DTMF codes that control the recording.
    pub(crate) codes: Option<Codes>,
    /// Other call-ids of this call, by merging.
    pub(crate) aliases: Vec<CallId>,
    /// A code that any party may type, and its effect on all parties' digits.
    pub(crate) trigger: Option<Box<DigitTrigger>>,
    /// Offers that wait for their answers.
    pub(crate) proposals: Vec<Proposal>,
    /// Another engine answers for the call.
    pub(crate) foreign: Option<Foreign>,
    /// What the agents of its medias have found.
    pub(crate) found: Vec<(AgentNumber, Arc<Found>)>,
    /// Time at which it became one of this engine.
    pub(crate) taken_over: Option<Instant>,
}

/// A recording of a call.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// Where it is written.
    pub(crate) file: Arc<str>,
    /// Whether packets go into it.
    pub(crate) status: RecordingStatus,
}

/// Whether packets go into a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordingStatus {
    /// They do.
    Running,
    /// They do not for now.
    Paused,
    /// The recording is over once the command that ends it is carried out.
    Ending {
        /// It is thrown away.
        is_discarded: bool,
    },
}

impl Recording {
    /// It does not end with the command that is being carried out.
    fn is_open(&self) -> bool {
        !matches!(self.status, RecordingStatus::Ending { .. })
    }
}

impl Call {
    pub(crate) fn new(
        id: CallId,
        number: u64,
        worker: usize,
        created_from: SocketAddr,
        now: Now,
        is_quiet: bool,
    ) -> Self {
        Self {
            id,
            number,
            worker,
            created: now,
            created_from,
            last_signal: now,
            legs: Vec::new(),
            next_number: 0,
            deletion: None,
            discard: false,
            tos: None,
            extras: None,
            told: Told::default(),
            in_force: InForce::default(),
            share: None,
            is_quiet,
        }
    }

    /// State that only some calls have, created if absent.
    pub(crate) fn extras_mut(&mut self) -> &mut CallExtras {
        self.extras.get_or_insert_default()
    }

    /// Media that is withheld from all parties.
    pub(crate) fn muted(&self) -> Muted {
        self.extras
            .as_deref()
            .map_or_else(Muted::default, |extras| extras.muted)
    }

    /// Gives a media its number, if it has none.
    pub(crate) fn number_media(&mut self, leg: LegIndex, media: usize) {
        let leg = self.legs.get_mut(leg);
        let media = leg.and_then(|leg| leg.medias.get_mut(media));
        if let Some(media @ Media { number: None, .. }) = media {
            media.number = Some(self.next_number);
            self.next_number += 1;
        }
    }

    /// Whether packets go into a recording now.
    pub(crate) fn is_recording(&self) -> bool {
        self.recording()
            .is_some_and(|recording| recording.status == RecordingStatus::Running)
    }

    pub(crate) fn is_recording_paused(&self) -> bool {
        self.recording()
            .is_some_and(|recording| recording.status == RecordingStatus::Paused)
    }

    /// File of the recording, if there is one.
    pub(crate) fn recording_file(&self) -> Option<&str> {
        self.recording().map(|recording| &*recording.file)
    }

    /// The files of the recording, as replies name them.
    pub(crate) fn recordings(&self) -> Option<Value> {
        let file = self.recording_file()?;
        Some([file].into_iter().collect())
    }

    fn recording(&self) -> Option<&Recording> {
        let recording = self.extras.as_deref()?.recording.as_ref();
        recording.filter(|recording| recording.is_open())
    }

    pub(crate) fn recording_mut(&mut self) -> Option<&mut Recording> {
        let recording = self.extras.as_deref_mut()?.recording.as_mut();
        recording.filter(|recording| recording.is_open())
    }

    /// Other call-ids of this call.
    pub(crate) fn aliases(&self) -> &[CallId] {
        self.extras
            .as_deref()
            .map_or(&[], |extras| extras.aliases.as_slice())
    }

    pub(crate) fn aliases_mut(&mut self) -> &mut Vec<CallId> {
        &mut self.extras_mut().aliases
    }

    /// Whether digits of this call are reported somewhere of its own, or do something in it.
    pub(crate) fn reports_digits(&self) -> bool {
        let extras = self.extras.as_deref();
        let for_all = extras.is_some_and(|extras| {
            extras.digits_to.is_some() || extras.codes.is_some() || extras.trigger.is_some()
        });
        for_all || self.legs.iter().any(Leg::has_trigger)
    }

    /// The leg with this tag, or with this earlier tag.
    pub(crate) fn leg_by_tag(&self, tag: &Tag) -> Option<LegIndex> {
        let present = || {
            self.legs
                .iter()
                .enumerate()
                .filter(|(_, leg)| leg.is_here())
        };
        present()
            .find(|(_, leg)| leg.tag.as_ref() == Some(tag))
            .or_else(|| present().find(|(_, leg)| leg.has_tag(tag)))
            .map(|(index, _)| index)
    }

    /// The leg with this via-branch.
    pub(crate) fn leg_by_branch(&self, branch: &Branch) -> Option<LegIndex> {
        self.legs
            .iter()
            .position(|leg| leg.is_here() && leg.branch.as_ref() == Some(branch))
    }

    pub(crate) fn leg(&self, index: LegIndex) -> Option<&Leg> {
        self.legs.get(index)
    }

    /// The number of the next m= line.
    pub(crate) fn next_line(&self) -> usize {
        let lines = self.all_medias().map(|(_, media)| media.line + 1);
        lines.max().unwrap_or(0)
    }

    /// The leg that receives the media of `source`, the latest if there are several.
    pub(crate) fn receiver_of(&self, source: LegIndex) -> Option<LegIndex> {
        self.legs
            .iter()
            .rposition(|leg| leg.is_here() && leg.sources.contains(&source))
    }

    /// A plan was carried out.
    pub(crate) fn set_in_force(&mut self, in_force: InForce) {
        if self.in_force.agents() != in_force.agents() {
            self.keep_found(in_force.agents());
        }
        self.in_force = in_force;
    }

    /// What an agent has found.
    pub(crate) fn found(&self, agent: AgentNumber) -> Option<&Found> {
        let found = &self.extras.as_deref()?.found;
        let known = found.iter().find(|(number, _)| *number == agent)?;
        Some(&known.1)
    }

    /// An agent has found something.
    pub(crate) fn set_found(&mut self, agent: AgentNumber, found: Found) {
        let all = &mut self.extras_mut().found;
        match all.iter_mut().find(|(number, _)| *number == agent) {
            Some((_, known)) => *known = Arc::new(found),
            None => all.push((agent, Arc::new(found))),
        }
    }

    /// Forgets what agents found that there are no more.
    fn keep_found(&mut self, agents: &[AgentSpec]) {
        if let Some(extras) = self.extras.as_deref_mut() {
            let is_there = |number: AgentNumber| agents.iter().any(|agent| agent.number == number);
            extras.found.retain(|(number, _)| is_there(*number));
        }
    }

    /// Joins two legs: deletion of one spreads to the other.
    pub(crate) fn associate(&mut self, one: LegIndex, other: LegIndex) {
        for (leg, peer) in [(one, other), (other, one)] {
            if let Some(leg) = self.legs.get_mut(leg)
                && !leg.peers.contains(&peer)
            {
                leg.peers.reserve_exact(1);
                leg.peers.push(peer);
            }
        }
    }

    /// Takes a leg out, now or after `delay`, and with it every leg that is left without a peer.
    /// Gives back whether no joined legs remain, so that the call itself should go: with the
    /// counters of its streams. Where it goes on, the ports are the caller's to release.
    pub(crate) fn remove_leg(&mut self, leg: LegIndex, delay: Duration, now: Instant) -> bool {
        let mut leaving = vec![leg];
        while let Some(index) = leaving.pop() {
            let Some(leg) = self.legs.get_mut(index) else {
                continue;
            };
            if leg.presence == Presence::Gone {
                continue;
            }
            // One that is leaving already leaves at another time.
            leg.presence = if delay.is_zero() {
                Presence::Gone
            } else {
                Presence::Leaving(now + delay)
            };
            for peer in std::mem::take(&mut leg.peers) {
                let Some(other) = self.legs.get_mut(peer) else {
                    continue;
                };
                other.peers.retain(|&p| p != index);
                if other.peers.is_empty() {
                    leaving.push(peer);
                }
            }
        }
        self.legs.iter().all(|leg| leg.peers.is_empty())
    }

    /// Takes out one leg alone, at once: those that were joined to it stay.
    pub(crate) fn take_out(&mut self, index: LegIndex) {
        for leg in &mut self.legs {
            leg.peers.retain(|&peer| peer != index);
        }
        if let Some(leg) = self.legs.get_mut(index) {
            leg.peers.clear();
            leg.presence = Presence::Gone;
        }
        self.release_absent();
    }

    /// Lets go of the ports of legs that are gone, and of their media.
    pub(crate) fn release_absent(&mut self) {
        let gone: Vec<bool> = self.legs.iter().map(|leg| !leg.is_here()).collect();
        let is_gone = |leg: LegIndex| gone.get(leg).copied().unwrap_or(true);
        for leg in &mut self.legs {
            leg.sources.retain(|&source| !is_gone(source));
            let is_here = leg.is_here();
            for media in &mut leg.medias {
                if let Some(extras) = media.extras.as_deref_mut() {
                    let subscriptions = &mut extras.subscriptions;
                    subscriptions.retain(|source| is_here && !is_gone(source.leg));
                }
                if !is_here {
                    media.maps.clear();
                }
            }
            if !is_here {
                leg.sources.clear();
            }
        }
        self.drop_absent_proposals();
    }

    /// An offer or answer arrived: pending deletion is off, and the call is ours.
    pub(crate) fn revive(&mut self, now: Now) {
        self.take_over(now);
        self.last_signal = now;
        self.deletion = None;
    }
}
