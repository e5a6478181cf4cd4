//! Playing DTMF to a party (spec: ng-protocol §5, media-behaviour §11).

use windlass_ng::{Dict, Reply, errors};

use super::select::Selected;
use super::{Refused, Scene};
use crate::call::digit_block::digit;
use crate::call::leg::LegIndex;
use crate::call::serve::Calls;
use crate::call::state::Call;
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
        let mut injected = false;
        for leg in legs {
            for (from, via, payload_type, clock_rate) in call.event_routes(leg) {
                let injection = Injection {
                    from,
                    via,
                    digit,
                    duration_ms: u32::try_from(duration).unwrap_or(250),
                    pause_ms: u32::try_from(pause).unwrap_or(100),
                    volume: u8::try_from(volume).unwrap_or(8),
                    payload_type,
                    clock_rate,
                };
                match self.forwarding.inject(call.worker, injection) {
                    Ok(()) => injected = true,
                    Err(reason) => return Err(reason),
                }
            }
        }
        match injected {
            true => Ok(Reply::ok(Dict::new())),
            false => Err(errors::NO_DTMF_INJECTION),
        }
    }
}

impl Call {
    /// The ways by which media reaches a party that understands events: the port that it comes in
    /// on, the port that it leaves from, and payload type and clock of events there.
    fn event_routes(
        &self,
        leg: LegIndex,
    ) -> Vec<(std::net::SocketAddr, std::net::SocketAddr, u8, u32)> {
        let Some(sink) = self.legs.get(leg).filter(|leg| leg.is_here()) else {
            return Vec::new();
        };
        let medias = sink.medias.iter().filter_map(|media| {
            let map = media.ports()?;
            let said = media.said.as_ref()?.read()?;
            let event = said
                .codecs
                .iter()
                .find(|codec| codec.is_telephone_event())?;
            let source = sink.sources.iter().find_map(|&source| {
                let medias = &self.legs.get(source)?.medias;
                medias
                    .iter()
                    .find(|other| other.line == media.line)?
                    .ports()
            })?;
            Some((
                source.main.rtp.local,
                map.main.rtp.local,
                event.payload_type,
                event.clock_rate,
            ))
        });
        medias.collect()
    }
}
