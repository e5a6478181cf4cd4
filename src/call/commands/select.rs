//! Party selection of a command (spec: ng-protocol §5, "Party selection").

use windlass_ng::request::{AllSelection, PartyAddress};
use windlass_ng::{Command, Label, Request, Tag, errors};

use super::Refused;
use crate::call::model::call::Call;
use crate::call::model::leg::LegIndex;
use crate::call::query::Kind;

/// Selection of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    Call,
    Leg(LegIndex),
}

/// Media of one party towards another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartyFlow {
    pub(crate) source: LegIndex,
    pub(crate) sink: LegIndex,
}

impl Call {
    /// The party of a request, or the whole call.
    pub(crate) fn select(&mut self, request: &Request) -> Result<Selected, Refused> {
        let selected = self.find_party(request)?;
        if let (Selected::Leg(index), Some(label)) = (selected, &request.set_label)
            && let Some(leg) = self.legs.get_mut(index)
        {
            leg.label = Some(label.clone());
        }
        Ok(selected)
    }

    /// The same where only a party will do, or all of them on demand.
    pub(crate) fn select_party(&mut self, request: &Request) -> Result<Selected, Refused> {
        let is_all = request.all == Some(AllSelection::All);
        match self.select(request)? {
            Selected::Call if !is_all => Err(errors::NO_PARTICIPANT),
            selected => Ok(selected),
        }
    }

    fn find_party(&self, request: &Request) -> Result<Selected, Refused> {
        if request.all == Some(AllSelection::All) {
            return Ok(Selected::Call);
        }
        if let Some(label) = &request.label {
            let leg = self.leg_by_label(label).ok_or(errors::NO_LABEL)?;
            return Ok(Selected::Leg(leg));
        }
        if let Some(address) = request.rare.address {
            let PartyAddress::At(address) = address else {
                return Err(errors::ADDRESS_UNPARSABLE);
            };
            let is_at = |leg: &crate::call::model::leg::Leg| {
                let endpoint = leg.medias.first().and_then(|media| media.endpoint);
                leg.is_here() && endpoint.is_some_and(|endpoint| endpoint.rtp.ip() == address)
            };
            let leg = self.legs.iter().position(is_at);
            return leg.map(Selected::Leg).ok_or(errors::ADDRESS_NO_TAG);
        }
        let takes_tag = request.flags.directional() || !is_directional(request.command);
        match request.from_tag.as_ref().filter(|_| takes_tag) {
            None => Ok(Selected::Call),
            Some(tag) => {
                let leg = self.leg_by_tag(tag).ok_or(errors::FROM_TAG_UNKNOWN)?;
                Ok(Selected::Leg(leg))
            }
        }
    }

    pub(crate) fn leg_by_label(&self, label: &Label) -> Option<LegIndex> {
        let bears =
            |leg: &crate::call::model::leg::Leg| leg.is_here() && leg.label.as_ref() == Some(label);
        self.legs.iter().position(bears)
    }

    /// The flows that the request selects beside parties; `None`: it selects none.
    pub(crate) fn select_flows(
        &self,
        request: &Request,
        selected: Selected,
    ) -> Result<Option<Vec<PartyFlow>>, Refused> {
        let wanted = match request.all {
            Some(AllSelection::OfferAnswer) => Some(Some(Kind::OfferAnswer)),
            Some(AllSelection::ExceptOfferAnswer) => Some(Some(Kind::PubSub)),
            Some(AllSelection::Flows) => Some(None),
            Some(AllSelection::All | AllSelection::None) | None => None,
        };
        if let Some(kind) = wanted {
            let flows: Vec<PartyFlow> = self
                .party_flows()
                .filter(|(flow, of)| {
                    kind.is_none_or(|kind| kind == *of)
                        && (selected == Selected::Call || selected == Selected::Leg(flow.source))
                })
                .map(|(flow, _)| flow)
                .collect();
            return match flows.is_empty() {
                true => Err(errors::NO_SUBSCRIPTIONS),
                false => Ok(Some(flows)),
            };
        }
        let Selected::Leg(source) = selected else {
            return Ok(None);
        };
        let not_empty = |tag: &&Tag| !tag.is_empty();
        let sink = if let Some(tag) = request.to_tag.as_ref().filter(not_empty) {
            self.leg_by_tag(tag).ok_or(errors::FLOW_TO_TAG)?
        } else if let Some(label) = &request.rare.to_label {
            self.leg_by_label(label).ok_or(errors::FLOW_TO_LABEL)?
        } else {
            return Ok(None);
        };
        let hears = self.sources_of(sink).iter().any(|(leg, _)| *leg == source);
        match hears {
            true => Ok(Some(vec![PartyFlow { source, sink }])),
            false => Err(errors::FLOW_NOT_SUBSCRIBED),
        }
    }

    fn party_flows(&self) -> impl Iterator<Item = (PartyFlow, Kind)> {
        let sinks = (0..self.legs.len()).filter(|&sink| {
            self.legs
                .get(sink)
                .is_some_and(crate::call::model::leg::Leg::is_here)
        });
        sinks.flat_map(|sink| {
            let sources = self.sources_of(sink).into_iter();
            sources.map(move |(source, kind)| (PartyFlow { source, sink }, kind))
        })
    }
}

/// Whether a command takes `from-tag` for a party only with flag `directional`.
fn is_directional(command: Command) -> bool {
    matches!(
        command,
        Command::BlockDtmf
            | Command::UnblockDtmf
            | Command::BlockMedia
            | Command::UnblockMedia
            | Command::StartForwarding
            | Command::StopForwarding
    )
}
