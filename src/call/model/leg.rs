//! One party of a call (the ng texts say monologue), its medias and their local ports.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use windlass_ng::{Branch, CallId, Label, Tag};
use windlass_sdp::{Origin, Text};

use super::call::Now;
use super::digit_block::DigitTrigger;
use super::keys::Protections;
use super::media::Media;
use crate::call::ports::Family;
use crate::flow::digits::DigitBlock;
use crate::media::latch::Learning;

/// Index of a leg in its call; stable for the life of the call.
pub(crate) type LegIndex = usize;

/// One SIP tag's side of a call.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    /// The SIP tag; unknown for the callee until its first answer.
    pub(crate) tag: Option<Tag>,
    /// Other tags of the same party, the latest last.
    pub(crate) aliases: Vec<Alias>,
    /// Via branch of the request that forked to this party.
    pub(crate) branch: Option<Branch>,
    /// Label given by the proxy.
    pub(crate) label: Option<Label>,
    /// Opaque text given by the proxy.
    pub(crate) metadata: Option<Arc<str>>,
    /// Time at which the leg was created.
    pub(crate) created: Now,
    /// Medias by position of their m= line.
    pub(crate) medias: Vec<Media>,
    /// Legs joined to this one by offer and answer: deletion spreads along these.
    pub(crate) peers: Vec<LegIndex>,
    /// Legs whose media this one receives.
    pub(crate) sources: Vec<LegIndex>,
    /// Name of the logical interface towards this party, once it was given.
    pub(crate) interface: Option<Arc<str>>,
    /// Address family towards this party, once it was given.
    pub(crate) family: Option<Family>,
    /// The last SDP of the party, as received.
    pub(crate) said: Option<Arc<[u8]>>,
    /// Session name of its first SDP (`replace` = `session-name`).
    pub(crate) first_session_name: Option<Text>,
    /// Last SDP printed to the party.
    pub(crate) printed: Option<Printed>,
    /// The party gave its final answer, so its tag is fixed (ng-protocol §10.2).
    pub(crate) final_response: bool,
    /// Rules for learning and checking its sources.
    pub(crate) source_rules: SourceRules,
    /// The leg made an offer that is not answered yet, so its party does not know our ports.
    pub(crate) is_unseen: bool,
    /// Time of the last offer or answer that touched the leg.
    pub(crate) signalled_at: Instant,
    /// Whether it still takes part.
    pub(crate) presence: Presence,
    /// State that only some legs have.
    pub(crate) extras: Option<Box<LegExtras>>,
}

impl Leg {
    pub(crate) fn new(now: Now, branch: Option<Branch>) -> Self {
        Self {
            tag: None,
            aliases: Vec::new(),
            branch,
            label: None,
            metadata: None,
            created: now,
            medias: Vec::new(),
            peers: Vec::new(),
            sources: Vec::new(),
            interface: None,
            family: None,
            said: None,
            first_session_name: None,
            printed: None,
            final_response: false,
            source_rules: SourceRules::default(),
            is_unseen: false,
            signalled_at: now.instant,
            presence: Presence::Here,
            extras: None,
        }
    }

    /// Whether the tag is the leg's own or another one of the party.
    pub(crate) fn has_tag(&self, tag: &Tag) -> bool {
        self.tag.as_ref() == Some(tag) || self.aliases.iter().any(|alias| alias.tag == *tag)
    }

    /// Whether the tag is that of a dialogue that a later answer put an end to.
    pub(crate) fn is_ended_branch(&self, tag: &Tag) -> bool {
        let mut aliases = self.aliases.iter();
        aliases.any(|alias| alias.is_ended_branch && alias.tag == *tag)
    }

    /// State that only some legs have, created if absent.
    pub(crate) fn extras_mut(&mut self) -> &mut LegExtras {
        self.extras.get_or_insert_default()
    }

    /// Media of the leg that is withheld from all sinks.
    pub(crate) fn muted(&self) -> Muted {
        self.extras
            .as_deref()
            .map_or_else(Muted::default, |extras| extras.muted)
    }

    /// Media of `source` that is withheld from this leg.
    pub(crate) fn muted_from(&self, source: LegIndex) -> Muted {
        let flows = self
            .extras
            .as_deref()
            .map(|extras| extras.muted_flows.as_slice());
        let flow = flows
            .unwrap_or_default()
            .iter()
            .find(|(leg, _)| *leg == source);
        flow.map_or_else(Muted::default, |(_, muted)| *muted)
    }

    /// Whether a code changes the rule for the party's digits.
    pub(crate) fn has_trigger(&self) -> bool {
        let extras = self.extras.as_deref();
        extras.is_some_and(|extras| extras.trigger.is_some())
    }

    /// Whether the party bundles lines of its SDPs.
    pub(crate) fn bundles(&self) -> bool {
        self.extras.as_deref().is_some_and(|extras| extras.bundles)
    }

    /// The numbers of its m= lines.
    pub(crate) fn lines(&self) -> Vec<usize> {
        self.medias.iter().map(|media| media.line).collect()
    }

    /// Whether the leg can be found by tag and branch and has sockets.
    pub(crate) fn is_here(&self) -> bool {
        !matches!(self.presence, Presence::Gone)
    }
}

/// Another tag of a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) tag: Tag,
    /// A dialogue of its own (RFC 3261 §12) that a later answer put an end to; else the tag is
    /// another name of the dialogue (`alias-key`).
    pub(crate) is_ended_branch: bool,
}

/// State that only some legs have.
#[derive(Clone, Debug, Default)]
pub(crate) struct LegExtras {
    /// Media of the leg that is withheld from all sinks.
    pub(crate) muted: Muted,
    /// Media of single sources that is withheld from this leg.
    pub(crate) muted_flows: Vec<(LegIndex, Muted)>,
    /// Digests of offers that make an unknown from-tag this leg's (`alias-key`).
    pub(crate) alias_keys: Vec<u64>,
    /// The tag that the offer named for the leg, which has not answered under it yet.
    pub(crate) meant_for: Option<Tag>,
    /// The call-id that the leg came with, if the call was merged.
    pub(crate) call_id: Option<CallId>,
    /// The party bundles lines of its SDPs (RFC 9143), until that is turned down.
    pub(crate) bundles: bool,
    /// The leg is left out of recordings.
    pub(crate) is_unrecorded: bool,
    /// A code of the party's own digits that changes the rule for them.
    pub(crate) trigger: Option<Box<DigitTrigger>>,
    /// PCM of the leg is forwarded to the recording daemon.
    pub(crate) is_forwarding: bool,
    /// Keys of SRTP that were in force.
    pub(crate) protections: Protections,
}

/// Blocking and silencing, at one level (spec: media-behaviour §11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Muted {
    /// RTP other than events is withheld.
    pub media: bool,
    /// Rule for events.
    pub dtmf: DigitBlock,
    /// RTP carries silence.
    pub silenced: bool,
}

impl Muted {
    /// The restrictions of either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            media: self.media || other.media,
            dtmf: self.dtmf.or(other.dtmf),
            silenced: self.silenced || other.silenced,
        }
    }
}

/// Whether a leg still takes part in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does.
    Here,
    /// Its deletion is due; media flows until then.
    Leaving(Instant),
    /// Its ports are closed; it is only listed.
    Gone,
}

/// Rules for learning and checking the sources of a leg's packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SourceRules {
    pub(crate) learning: Option<Learning>,
    pub(crate) received_from: Option<IpAddr>,
    /// The party's last SDP came with `trust-address`.
    pub(crate) trusts_signalled: bool,
    pub(crate) asymmetric: bool,
    pub(crate) unidirectional: bool,
    pub(crate) pierce_nat: bool,
    pub(crate) nat_wait: bool,
    pub(crate) strict_source: bool,
    pub(crate) media_handover: bool,
    pub(crate) port_latching: bool,
    pub(crate) no_port_latching: bool,
    pub(crate) block_short: bool,
}

/// The parts of the last SDP printed to a leg that the next SDP depends on.
#[derive(Clone, Debug)]
pub(crate) struct Printed {
    /// Its o= line.
    pub(crate) origin: Origin,
    /// Digest of the text, to see whether anything changed.
    pub(crate) digest: u64,
}
