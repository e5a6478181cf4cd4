//! `transform` (spec: ng-protocol §5, §6): another engine sends media here, to have it converted
//! and sent on.
//!
//! There is no codec engine: what is to stay as it is, is relayed; what would have to be converted
//! is refused.

use std::net::SocketAddr;

use windlass_ng::request::CodecMapping;
use windlass_ng::{Dict, Reply, Tag, Value, errors};

use super::alone::Alone;
use super::create::described;
use super::sources::SourceMedia;
use super::{Refused, Scene};
use crate::call::model::call::Call;
use crate::call::model::dialogue::Role;
use crate::call::model::media::{Endpoint, Formats, Media};
use crate::call::offer::Refusal;
use crate::call::serve::Calls;
use crate::limits::LINES_PER_CALL;

impl Calls {
    pub(super) fn transform(&self, scene: Scene<'_>, source: SocketAddr) -> Reply {
        let instance = scene.request.rare.instance.as_deref();
        if instance.is_some_and(|instance| instance == self.identity.instance()) {
            return Reply::error(errors::TRANSFORM_LOOP);
        }
        let unknown = errors::TRANSFORM;
        self.on_call_made(scene, source, unknown, |calls, call, tag, scene| {
            let medias = calls.set_up_transform(call, tag, scene)?;
            Ok(Dict::new().with("media", Value::List(medias)))
        })
    }

    /// Opens ports for every media, and says where they are.
    fn set_up_transform(
        &self,
        call: &mut Call,
        tag: &Tag,
        scene: &mut Scene<'_>,
    ) -> Result<Vec<Value>, Refused> {
        let request = scene.request;
        let specs = &request.rare.medias;
        let refused = |reason: &str| {
            tracing::warn!(call_id = %call.id, reason, "transform refused");
            Err(errors::TRANSFORM)
        };
        if specs.is_empty() || specs.len() > LINES_PER_CALL {
            return refused("no media, or too many");
        }
        if specs.iter().any(|spec| spec.destination.is_none()) {
            return refused("a media without destination");
        }
        if specs.iter().flat_map(|spec| &spec.codecs).any(converts) {
            return refused("there is no codec engine to convert media with");
        }
        let route = |peer| self.forwarding.route_to(peer);
        let host = self.host(&route);
        let leg = call.leg_or_new(tag, scene)?;
        call.apply_to(leg, scene, host);
        if let Some(party) = call.legs.get_mut(leg) {
            // It is sent to where it is wanted, wherever it comes from.
            party.source_rules.asymmetric = true;
            // It is told our ports by the reply.
            party.is_unseen = false;
        }
        for (index, spec) in specs.iter().enumerate() {
            let endpoint = spec.destination.map(around).ok_or(errors::TRANSFORM)?;
            let offer = described(spec, &[]).ok_or(errors::TRANSFORM)?;
            let at = SourceMedia { leg, media: index };
            let media = call.media_or_new(at, &offer).ok_or(errors::TRANSFORM)?;
            let alone = Alone { request, host };
            let mut other = Media::like(0, &offer);
            alone.tell(Role::Offer, media, &mut other, &offer, endpoint, scene.rng);
            media.endpoint = Some(endpoint);
            media.formats = Formats::of(&offer);
            media.extras_mut().echo = true;
            call.open_alone((leg, index), endpoint, tag, Role::Offer, scene, host)
                .map_err(|error| Refusal::from(error).reply())?;
        }
        let party = call.legs.get(leg).ok_or(errors::TRANSFORM)?;
        let shown = specs.iter().zip(&party.medias).map(|(spec, media)| {
            let ports = media.ports()?;
            let family = if ports.main.advertised.is_ipv4() {
                "IP4"
            } else {
                "IP6"
            };
            let place = Dict::new()
                .with_some("id", spec.id.clone())
                .with("family", Value::word(family))
                .with("address", ports.main.advertised)
                .with("port", ports.main.rtp.local.port());
            Some(place.into())
        });
        let shown: Option<Vec<Value>> = shown.collect();
        shown.ok_or(errors::TRANSFORM)
    }
}

/// Whether a codec would have to be converted, or its payload type rewritten.
fn converts(mapping: &CodecMapping) -> bool {
    let is_other = |output| &mapping.input != output;
    mapping.output.as_ref().is_some_and(is_other)
}

/// RTCP is one port above RTP.
fn around(rtp: SocketAddr) -> Endpoint {
    let rtcp = SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1));
    Endpoint { rtp, rtcp }
}
