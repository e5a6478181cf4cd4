//! Options of a request that concern a whole leg.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use windlass_ng::request::{AliasKey, DropTraffic, EndpointLearning, Tos};

use super::Context;
use crate::call::model::call::Call;
use crate::call::model::dialogue::{Parties, Role};
use crate::call::model::leg::{Alias, Leg};
use crate::call::model::media::Endpoint;
use crate::call::ports::{Interfaces, LocalAddress, ROUND_ROBIN_CALLS};
use crate::limits::LEG_KEYS;
use crate::media::latch::Learning;

impl Call {
    pub(super) fn apply_request(
        &mut self,
        parties: Parties,
        text: &Arc<[u8]>,
        endpoints: &[Option<Endpoint>],
        context: &Context<'_>,
    ) {
        let request = context.request;
        for (index, is_sender) in [(parties.sender, true), (parties.receiver, false)] {
            let Some(leg) = self.legs.get_mut(index) else {
                continue;
            };
            apply_source_rules(leg, is_sender, context);
            if let Some(name) = interface_name(is_sender, context) {
                // One of several that take turns was chosen for this party already.
                let is_chosen = leg.interface.as_deref().is_some_and(|chosen| {
                    let base = chosen.split_once(':').map(|(base, _)| base);
                    base == Some(&*name) || &*name == ROUND_ROBIN_CALLS
                });
                if !is_chosen {
                    warn_of_unknown(&name, context.host.interfaces);
                    leg.interface = Some(name);
                }
            }
            if is_sender {
                if let Some(label) = &request.label {
                    leg.label = Some(label.clone());
                }
                if let Some(metadata) = &request.metadata {
                    leg.metadata = Some(metadata.as_str().into());
                }
                leg.order_digits_in_passing(request, context.host.defaults.digit_gap());
                if request.flags.exclude_recording() {
                    leg.extras_mut().is_unrecorded = true;
                }
            } else if request.address_family.is_some() {
                leg.family = request.address_family;
            }
        }
        if context.dialogue.role == Role::Offer {
            self.remember_alias(parties, text, endpoints, context);
            match request.tos {
                Tos::Default => self.tos = None,
                Tos::Unchanged => {}
                Tos::Set(tos) => self.tos = Some(tos),
            }
        }
        if let Some(traffic) = request.drop_traffic {
            self.discard = traffic == DropTraffic::Start;
        }
    }

    /// An offer from an unknown tag that repeats a known offer comes from the same party
    /// (`alias-key`).
    pub(super) fn adopt_alias(
        &mut self,
        text: &Arc<[u8]>,
        endpoints: &[Option<Endpoint>],
        context: &Context<'_>,
    ) {
        let tag = context.dialogue.from;
        if context.dialogue.role != Role::Offer || self.leg_by_tag(tag).is_some() {
            return;
        }
        let keys = [text_key(text), endpoint_key(endpoints)];
        let knows = |leg: &&mut Leg| {
            let known = leg
                .extras
                .as_deref()
                .map(|extras| extras.alias_keys.as_slice());
            leg.is_here()
                && known
                    .unwrap_or_default()
                    .iter()
                    .any(|key| keys.contains(key))
        };
        if let Some(leg) = self.legs.iter_mut().find(knows) {
            leg.add_alias(Alias {
                tag: tag.clone(),
                is_ended_branch: false,
            });
        }
    }

    fn remember_alias(
        &mut self,
        parties: Parties,
        text: &Arc<[u8]>,
        endpoints: &[Option<Endpoint>],
        context: &Context<'_>,
    ) {
        let key = match context.request.alias_key {
            Some(AliasKey::Sdp) => text_key(text),
            Some(AliasKey::Address) => endpoint_key(endpoints),
            Some(AliasKey::Off) | None => return,
        };
        if let Some(leg) = self.legs.get_mut(parties.sender) {
            let keys = &mut leg.extras_mut().alias_keys;
            if !keys.contains(&key) && keys.len() < LEG_KEYS {
                keys.push(key);
            }
        }
    }
}

fn apply_source_rules(leg: &mut Leg, is_sender: bool, context: &Context<'_>) {
    let (request, flags) = (context.request, &context.request.flags);
    let rules = &mut leg.source_rules;
    if is_sender {
        // They are about the author of the SDP alone.
        rules.asymmetric = flags.asymmetric();
        rules.trusts_signalled = flags.trust_address() && !flags.sip_source_address();
        rules.strict_source = flags.strict_source();
        rules.media_handover = flags.media_handover();
        rules.block_short |= flags.block_short();
        if let Some(from) = request.received_from {
            // A proxy that names itself does not say where the phone is.
            let from = from.to_canonical();
            rules.received_from = Some(from).filter(|&from| from != context.source.ip());
        }
    }
    rules.unidirectional |= flags.unidirectional();
    rules.pierce_nat |= flags.pierce_nat();
    rules.nat_wait |= flags.nat_wait();
    rules.port_latching = flags.port_latching();
    rules.no_port_latching = flags.no_port_latching();
    if let Some(learning) = request.endpoint_learning {
        rules.learning = Some(match learning {
            EndpointLearning::Off => Learning::Off,
            EndpointLearning::Immediate => Learning::Immediate,
            EndpointLearning::Delayed => Learning::Delayed,
            EndpointLearning::Heuristic => Learning::Heuristic,
        });
    }
    leg.is_unseen = is_sender && context.dialogue.role == Role::Offer && leg.printed.is_none();
    leg.signalled_at = context.now.instant;
}

/// The logical interface that the request names for one side, or that routes to the address that
/// it names.
fn interface_name(is_sender: bool, context: &Context<'_>) -> Option<Arc<str>> {
    let request = context.request;
    let [sender, receiver] = &request.direction;
    let named = if is_sender { sender } else { receiver };
    if let Some(name) = named {
        return Some(name.as_str().into());
    }
    let [sender, receiver] = request.direction_peer;
    routed(if is_sender { sender } else { receiver }, context)
}

/// A name that stands for no interface gets the default one.
fn warn_of_unknown(name: &str, interfaces: &Interfaces) {
    let is_base = |local: &LocalAddress| {
        let base = local.name.split_once(':').map(|(base, _)| base);
        base == Some(name)
    };
    let is_meant = interfaces.is_known(name)
        || name == ROUND_ROBIN_CALLS
        || interfaces.family_of_old(name).is_some()
        || interfaces.addresses().iter().any(is_base);
    if !is_meant {
        tracing::warn!(
            interface = name,
            "no such interface; the default one is used"
        );
    }
}

/// The logical interface that routes to an address.
pub(crate) fn routed(peer: Option<IpAddr>, context: &Context<'_>) -> Option<Arc<str>> {
    let local = (context.host.route)(peer?)?;
    let mut addresses = context.host.interfaces.addresses().iter();
    Some(addresses.find(|a| a.address == local)?.name.clone())
}

fn text_key(text: &[u8]) -> u64 {
    foldhash::quality::FixedState::default().hash_one(text)
}

fn endpoint_key(endpoints: &[Option<Endpoint>]) -> u64 {
    let first = endpoints.iter().flatten().next();
    foldhash::quality::FixedState::with_seed(1).hash_one(first.map(|endpoint| endpoint.rtp))
}
