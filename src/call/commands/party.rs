//! Playing DTMF in the place of a party (spec: ng-protocol §5, media-behaviour §11).

use std::net::SocketAddr;

use windlass_ng::{Dict, Reply, errors};

use super::select::Selected;
use super::{Refused, Scene};
use crate::call::agents::AgentView;
use crate::call::model::call::Call;
use crate::call::model::digit_block::digit;
use crate::call::model::leg::LegIndex;
use crate::call::model::media::{Extras, Media};
use crate::call::serve::Calls;
use crate::flow::Injection;

/// Length of a digit and of the pause after it, in ms, where the request says nothing.
const DIGIT_MS: i64 = 250;
const PAUSE_MS: i64 = 100;
/// Level of a digit below 0 dBm0, in dB (ng-protocol §15).
const VOLUME_DB: i64 = 8;

impl Calls {
    pub(super) fn play_dtmf(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let options = &scene.request.dtmf;
        let selected = call.select_party(scene.request)?;
        let code = options.digit.as_deref().ok_or(errors::CODE_RANGE)?;
        let digit = digit(code).ok_or(errors::CODE_RANGE)?;
        let duration = options.duration.unwrap_or(DIGIT_MS).clamp(100, 5000);
        let pause = options.pause.unwrap_or(PAUSE_MS).clamp(100, 5000);
        let volume = options.volume.unwrap_or(VOLUME_DB).unsigned_abs().min(63);
        let legs = match selected {
            Selected::Leg(leg) => vec![leg],
            Selected::Call => (0..call.legs.len()).collect(),
        };
        let mut refused = None;
        let mut is_played = false;
        for leg in legs {
            match self.play_by(call, leg, &|route| Injection {
                from: route.from,
                via: route.via,
                digit,
                duration_ms: u32::try_from(duration).unwrap_or(250),
                pause_ms: u32::try_from(pause).unwrap_or(100),
                volume: u8::try_from(volume).unwrap_or(8),
                payload_type: route.payload_type,
                clock_rate: route.clock_rate,
            }) {
                Ok(()) => is_played = true,
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        match refused.filter(|_| !is_played) {
            Some(reason) => Err(reason),
            None => Ok(Reply::ok(Dict::new())),
        }
    }

    /// Plays a digit as if the party had pressed it: to all its sinks.
    fn play_by(
        &self,
        call: &Call,
        leg: LegIndex,
        injection: &dyn Fn(EventRoute) -> Injection,
    ) -> Result<(), Refused> {
        let mut outcome = Err(errors::NO_DTMF_SINK);
        for route in call.event_routes(leg)? {
            let played = self.forwarding.inject(call.worker, injection(route));
            if outcome.is_err() {
                outcome = played;
            }
        }
        outcome
    }
}

/// A way on which a party's media reaches another one that understands events.
#[derive(Clone, Copy, Debug)]
struct EventRoute {
    /// The port that the media comes in on.
    from: SocketAddr,
    /// The port that it leaves from.
    via: SocketAddr,
    /// Payload type of outgoing events.
    payload_type: u8,
    /// Clock rate of outgoing events, in Hz.
    clock_rate: u32,
}

impl Call {
    /// Routes from a party's media to its sinks that understand events.
    fn event_routes(&self, leg: LegIndex) -> Result<Vec<EventRoute>, Refused> {
        let source = self.legs.get(leg).filter(|leg| leg.is_here());
        let medias = source.map_or(&[][..], |leg| leg.medias.as_slice());
        let medias = medias.iter().enumerate();
        let medias: Vec<(usize, &Media, SocketAddr)> = medias
            .filter_map(|(index, media)| {
                media.ports()?;
                let agent = AgentView::new(self, source?, media);
                Some((index, media, agent.rtp_port()?))
            })
            .collect();
        if medias.is_empty() {
            return Err(errors::NO_DTMF_INJECTION);
        }
        let sinks = self.legs.iter().filter(|sink| sink.is_here());
        let ways = sinks.flat_map(|sink| sink.medias.iter().map(move |media| (sink, media)));
        let routes = ways.filter_map(|(sink, media)| {
            let hears = |(index, source, _): &&(usize, &Media, SocketAddr)| {
                let by_offer = sink.sources.contains(&leg) && source.line == media.line;
                let is_subscribed = |extras: &Extras| {
                    let mut all = extras.subscriptions.iter();
                    all.any(|other| other.leg == leg && other.media == *index)
                };
                by_offer || media.extra(is_subscribed)
            };
            // Nothing of ours fits where media passes unread.
            if media.is_passed_through() || !media.transport.is_rtp() {
                return None;
            }
            let (_, _, from) = medias.iter().find(hears)?;
            let said = media.said.as_ref()?.read()?;
            let mut codecs = said.codecs.iter();
            let event = codecs.find(|codec| codec.is_telephone_event())?;
            Some(EventRoute {
                from: *from,
                via: AgentView::new(self, sink, media).rtp_port()?,
                payload_type: event.payload_type,
                clock_rate: event.clock_rate,
            })
        });
        Ok(routes.collect())
    }
}
