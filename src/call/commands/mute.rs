//! Blocking and silencing of media (spec: ng-protocol §5, media-behaviour §11).

use windlass_ng::request::AllSelection;
use windlass_ng::{Command, Dict, Reply};

use super::select::{PartyFlow, Selected};
use super::{Refused, Scene};
use crate::call::model::call::Call;
use crate::call::model::leg::{Leg, Muted};
use crate::call::model::media::Media;
use crate::call::serve::Calls;

impl Calls {
    pub(super) fn mute(&self, call: &mut Call, scene: &mut Scene<'_>) -> Result<Reply, Refused> {
        let request = scene.request;
        let (set, is_on): (fn(&mut Muted, bool), bool) = match request.command {
            Command::BlockMedia => (|muted, on| muted.media = on, true),
            Command::UnblockMedia => (|muted, on| muted.media = on, false),
            Command::SilenceMedia => (|muted, on| muted.silenced = on, true),
            _ => (|muted, on| muted.silenced = on, false),
        };
        let selected = call.select(request)?;
        let flows = call.select_flows(request, selected)?;
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
        if request.command == Command::SilenceMedia {
            call.tell_unread(selected, "is not silenced: it passes unread");
        }
        Ok(Reply::ok(Dict::new()))
    }

    pub(super) fn forward(&self, call: &mut Call, scene: &mut Scene<'_>) -> Result<Reply, Refused> {
        let selected = call.select(scene.request)?;
        let starts = scene.request.command == Command::StartForwarding;
        match selected {
            Selected::Leg(index) => {
                if let Some(leg) = call.legs.get_mut(index) {
                    leg.extras_mut().is_forwarding = starts;
                }
            }
            Selected::Call => {
                call.extras_mut().is_forwarding = starts;
                if !starts && scene.request.all == Some(AllSelection::All) {
                    for extras in call
                        .legs
                        .iter_mut()
                        .filter_map(|leg| leg.extras.as_deref_mut())
                    {
                        extras.is_forwarding = false;
                    }
                }
            }
        }
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
    /// Warns of media that a command cannot act on, since it passes unread between the parties.
    pub(super) fn tell_unread(&self, selected: Selected, outcome: &str) {
        for (index, leg) in self.legs.iter().enumerate() {
            let is_meant = selected == Selected::Call || selected == Selected::Leg(index);
            if is_meant && leg.is_here() && leg.medias.iter().any(Media::is_passed_through) {
                tracing::warn!(call_id = %self.id, "media {outcome}");
            }
        }
    }

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
