//! Blocking and silencing of media and DTMF (spec: ng-protocol §5, media-behaviour §11).

use windlass_ng::request::{AllSelection, DtmfSecurity};
use windlass_ng::{Command, Dict, Reply};

use super::select::{PartyFlow, Selected};
use super::{Refused, Scene};
use crate::call::leg::{Leg, Muted};
use crate::call::serve::Calls;
use crate::call::state::Call;

/// The replacing modes of `DTMF-security` need decoded audio.
const NO_REPLACEMENT: Refused =
    "unsupported: there is no codec engine to replace DTMF with; DTMF-security=drop works";
/// Blocking that starts or ends with digits needs their detection in the media path.
const NO_TRIGGER: Refused = "unsupported: DTMF triggers are not built";

impl Calls {
    pub(super) fn mute(&self, call: &mut Call, scene: &mut Scene<'_>) -> Result<Reply, Refused> {
        let request = scene.request;
        let (set, is_on): (fn(&mut Muted, bool), bool) = match request.command {
            Command::BlockDtmf => (|muted, on| muted.dtmf = on, true),
            Command::UnblockDtmf => (|muted, on| muted.dtmf = on, false),
            Command::BlockMedia => (|muted, on| muted.media = on, true),
            Command::UnblockMedia => (|muted, on| muted.media = on, false),
            Command::SilenceMedia => (|muted, on| muted.silenced = on, true),
            _ => (|muted, on| muted.silenced = on, false),
        };
        let is_dtmf = matches!(request.command, Command::BlockDtmf | Command::UnblockDtmf);
        let selected = call.select(request)?;
        if is_dtmf && is_on {
            let replaces = !matches!(request.dtmf.security, None | Some(DtmfSecurity::Drop));
            if replaces && request.dtmf.security != Some(DtmfSecurity::Off) {
                return Err(NO_REPLACEMENT);
            }
            if request.dtmf.trigger.is_some() {
                return Err(NO_TRIGGER);
            }
        }
        let is_on = is_on && !(is_dtmf && request.dtmf.security == Some(DtmfSecurity::Off));
        let flows = match is_dtmf {
            true => None,
            false => call.select_flows(request, selected)?,
        };
        match (flows, selected) {
            (Some(flows), _) => {
                for flow in flows {
                    call.mute_flow(flow, |muted| set(muted, is_on));
                }
            }
            (None, Selected::Leg(index)) => {
                if let Some(leg) = call.legs.get_mut(index) {
                    set(&mut leg.extras_mut().muted, is_on);
                }
            }
            (None, Selected::Call) => {
                set(&mut call.extras_mut().muted, is_on);
                if !is_on && request.all == Some(AllSelection::All) {
                    call.legs.iter_mut().for_each(|leg| clear(leg, set));
                }
            }
        }
        Ok(Reply::ok(Dict::new()))
    }

    pub(super) fn forward(&self, call: &mut Call, scene: &mut Scene<'_>) -> Result<Reply, Refused> {
        call.select(scene.request)?;
        let starts = scene.request.command == Command::StartForwarding;
        call.extras_mut().is_forwarding = starts;
        if starts {
            tracing::warn!(
                call_id = %call.id,
                "forwarding noted; there is no daemon that PCM could be forwarded to"
            );
        }
        Ok(Reply::ok(Dict::new()))
    }
}

impl Call {
    fn mute_flow(&mut self, flow: PartyFlow, set: impl Fn(&mut Muted)) {
        let Some(sink) = self.legs.get_mut(flow.sink) else {
            return;
        };
        let flows = &mut sink.extras_mut().muted_flows;
        let known = flows.iter().position(|(source, _)| *source == flow.source);
        let position = known.unwrap_or_else(|| {
            flows.push((flow.source, Muted::default()));
            flows.len() - 1
        });
        if let Some((_, muted)) = flows.get_mut(position) {
            set(muted);
        }
        flows.retain(|(_, muted)| *muted != Muted::default());
    }
}

fn clear(leg: &mut Leg, set: fn(&mut Muted, bool)) {
    if let Some(extras) = leg.extras.as_deref_mut() {
        set(&mut extras.muted, false);
        extras
            .muted_flows
            .iter_mut()
            .for_each(|(_, muted)| set(muted, false));
    }
}
