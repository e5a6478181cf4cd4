//! The state of a call for `explain`: plain data, copied out under its lock.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use windlass_ng::CallId;

use super::model::call::{Call, Now};
use super::model::leg::{Leg, Presence};
use super::model::media::Media;
use super::ports::Family;
use super::serve::Calls;
use super::table::lock;

/// A call.
#[derive(Clone, Debug)]
pub struct CallPicture {
    /// Its parties; their positions are what [`PartyPicture::hears`] counts by.
    pub parties: Vec<PartyPicture>,
    /// Time until its deletion, where one is pending.
    pub ends_in: Option<Duration>,
    /// The last offer that waits for its answer: what is agreed stays in force until then.
    pub offered: Option<Box<OfferPicture>>,
}

/// An offer that waits for its answer.
#[derive(Clone, Debug)]
pub struct OfferPicture {
    /// Position of the party that offers.
    pub from: usize,
    /// The call as the offer would make it.
    pub call: CallPicture,
}

/// One party of a call.
#[derive(Clone, Debug)]
pub struct PartyPicture {
    /// The SIP tag, once it is known.
    pub tag: Option<String>,
    /// Earlier tags of the same party.
    pub aliases: Vec<String>,
    /// Via branch of the request that forked to it.
    pub branch: Option<String>,
    /// The party was deleted and has no ports any more.
    pub is_gone: bool,
    /// An SDP was printed for it before.
    pub was_told: bool,
    /// Time until its deletion, where one is pending.
    pub leaves_in: Option<Duration>,
    /// The logical interface that was named for it.
    pub interface: Option<String>,
    /// The address family that was asked for towards it.
    pub family: Option<Family>,
    /// Positions of the parties whose media it gets by offer and answer.
    pub hears: Vec<usize>,
    /// Its m= lines.
    pub medias: Vec<MediaPicture>,
}

/// One m= line of a party.
#[derive(Clone, Debug)]
pub struct MediaPicture {
    /// The number of the line in the call: the two ends of one m= line have the same.
    pub line: usize,
    /// Media type.
    pub kind: String,
    /// Transport towards the party.
    pub transport: String,
    /// The line is rejected.
    pub is_rejected: bool,
    /// The party is held by a zero address.
    pub is_held: bool,
    /// Media with the party is encrypted.
    pub is_secure: bool,
    /// Keys by DTLS are in play between the relay and the party.
    pub has_dtls: bool,
    /// ICE is in play between the relay and the party.
    pub has_ice: bool,
    /// Keys and candidates are those of the parties, and the relay looks into nothing.
    pub is_passed_through: bool,
    /// Position of the media whose ports it shares (RFC 9143).
    pub bundled_with: Option<usize>,
    /// RTCP multiplexing is agreed with the party.
    pub is_muxed: bool,
    /// RTP endpoint of the party.
    pub endpoint: Option<SocketAddr>,
    /// Local ports that it was shown.
    pub ports: Vec<PortPicture>,
}

/// One local port.
#[derive(Clone, Debug)]
pub struct PortPicture {
    /// Address and port.
    pub local: SocketAddr,
    /// The logical interface.
    pub interface: String,
    /// The address that is printed for it.
    pub advertised: IpAddr,
    /// The port belongs to the port set that is printed now.
    pub is_selected: bool,
}

impl Calls {
    /// A call as it stands; `None` if there is none of this call-id.
    pub fn picture(&self, id: &CallId, now: Now) -> Option<CallPicture> {
        let entry = self.table.find(id)?;
        let slot = lock(&entry);
        slot.as_ref().map(|call| CallPicture::of(call, now))
    }
}

impl CallPicture {
    fn of(call: &Call, now: Now) -> Self {
        let until = |at: std::time::Instant| at.saturating_duration_since(now.instant);
        Self {
            parties: call
                .legs
                .iter()
                .map(|leg| PartyPicture {
                    leaves_in: match leg.presence {
                        Presence::Leaving(at) => Some(until(at)),
                        Presence::Here | Presence::Gone => None,
                    },
                    ..PartyPicture::of(leg)
                })
                .collect(),
            ends_in: call.deletion.map(until),
            offered: call.as_offered().map(|(from, offered)| {
                let call = Self::of(&offered, now);
                Box::new(OfferPicture { from, call })
            }),
        }
    }

    /// The call as the offer of a party would make it that waits for its answer; what is agreed
    /// if there is none.
    pub fn as_offered_by(&self, party: Option<usize>) -> &Self {
        let offered = self.offered.as_deref();
        let own = offered.filter(|offered| Some(offered.from) == party);
        own.map_or(self, |offered| &offered.call)
    }

    /// The position of the party with this tag, or that had it.
    pub fn party(&self, tag: &str) -> Option<usize> {
        let present = || self.parties.iter().enumerate().filter(|(_, p)| !p.is_gone);
        let found = present().find(|(_, party)| party.tag.as_deref() == Some(tag));
        let found = found.or_else(|| present().find(|(_, party)| party.has_alias(tag)));
        found.map(|(position, _)| position)
    }

    /// The party, its media (by position) and the port behind a local address.
    pub fn port(&self, local: SocketAddr) -> Option<(usize, usize, &PortPicture)> {
        self.parties.iter().enumerate().find_map(|(party, view)| {
            view.medias.iter().enumerate().find_map(|(media, view)| {
                let port = view.ports.iter().find(|port| port.local == local)?;
                Some((party, media, port))
            })
        })
    }

    /// Name of a party in texts.
    pub fn name(&self, party: usize) -> String {
        let Some(view) = self.parties.get(party) else {
            return "nobody".to_owned();
        };
        match (&view.tag, &view.branch) {
            (Some(tag), _) => format!("`{tag}`"),
            (None, Some(branch)) => format!("the party of branch `{branch}`"),
            (None, None) => "the other party".to_owned(),
        }
    }
}

impl PartyPicture {
    fn of(leg: &Leg) -> Self {
        Self {
            tag: leg.tag.as_ref().map(ToString::to_string),
            aliases: leg
                .aliases
                .iter()
                .map(|alias| alias.tag.to_string())
                .collect(),
            branch: leg.branch.as_ref().map(ToString::to_string),
            is_gone: !leg.is_here(),
            was_told: leg.printed.is_some(),
            leaves_in: None,
            interface: leg.interface.as_deref().map(str::to_owned),
            family: leg.family,
            hears: leg.sources.clone(),
            medias: leg.medias.iter().map(MediaPicture::of).collect(),
        }
    }

    fn has_alias(&self, tag: &str) -> bool {
        self.aliases.iter().any(|alias| alias == tag)
    }
}

impl MediaPicture {
    fn of(media: &Media) -> Self {
        let mut ports = Vec::new();
        for (position, map) in media.maps.iter().enumerate() {
            for set in map.sets() {
                for port in std::iter::once(&set.rtp).chain(&set.rtcp) {
                    ports.push(PortPicture {
                        local: port.local,
                        interface: map.interface.to_string(),
                        advertised: set.advertised,
                        is_selected: position == media.selected,
                    });
                }
            }
        }
        let extras = media.extras.as_deref();
        Self {
            line: media.line,
            kind: media.kind_text.as_str_lossy().into_owned(),
            transport: media.transport.name().as_str_lossy().into_owned(),
            is_rejected: media.rejected,
            is_held: media.zero_address,
            is_secure: media.is_secure(),
            has_dtls: extras.is_some_and(|extras| extras.dtls.is_some()),
            has_ice: media.has_ice(),
            is_passed_through: media.is_passed_through(),
            bundled_with: extras.and_then(|extras| extras.bundle_head),
            is_muxed: media.mux.agreed,
            endpoint: media.endpoint.map(|endpoint| endpoint.rtp),
            ports,
        }
    }
}
