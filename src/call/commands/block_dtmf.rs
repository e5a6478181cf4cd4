//! `block DTMF` and `unblock DTMF` (spec: ng-protocol §5, media-behaviour §11).

use windlass_ng::request::AllSelection;
use windlass_ng::{Command, Dict, Reply};

use super::select::Selected;
use super::{Refused, Scene};
use crate::call::model::call::Call;
use crate::call::model::digit_block::{DigitOrder, NO_VOICE};
use crate::call::model::leg::Leg;
use crate::call::serve::Calls;
use crate::call::voiced::Voiced;
use crate::flow::digits::DigitRule;
use crate::media::g711::Law;

impl Calls {
    pub(super) fn block_dtmf(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let request = scene.request;
        let blocks = request.command == Command::BlockDtmf;
        let selected = call.select(request)?;
        let order = match blocks {
            true => DigitOrder::of(&request.dtmf, self.defaults.digit_gap())?,
            false => DigitOrder::default(),
        };
        if order.rules().any(DigitRule::is_audio) && !order.is_voiced_for(call, selected) {
            return Err(NO_VOICE);
        }
        if order.rules().any(DigitRule::replaces) {
            call.tell_unread(selected, "keeps its DTMF: it passes unread");
        }
        match selected {
            Selected::Leg(index) => {
                if let Some(leg) = call.legs.get_mut(index) {
                    leg.order_digits(order);
                }
            }
            Selected::Call => {
                call.order_digits(order);
                if !blocks && request.all == Some(AllSelection::All) {
                    let legs = call.legs.iter_mut();
                    legs.for_each(|leg| leg.order_digits(DigitOrder::default()));
                }
            }
        }
        Ok(Reply::ok(Dict::new()))
    }
}

impl DigitOrder {
    /// Whether what goes out in place of digits can be made for any of the medias that it is for.
    fn is_voiced_for(&self, call: &Call, selected: Selected) -> bool {
        let has_tones = self.rules().any(|rule| matches!(rule, DigitRule::Tone(_)));
        let is_meant = |index| selected == Selected::Call || selected == Selected::Leg(index);
        let legs = call.legs.iter().enumerate();
        let legs = legs.filter(|(index, leg)| leg.is_here() && is_meant(*index));
        let is_voiced = |leg: &Leg| {
            leg.medias.iter().any(|media| {
                let voices = Voiced::of(media).voices;
                voices
                    .iter()
                    .any(|voice| !has_tones || voice.law != Law::G722)
            })
        };
        legs.into_iter().any(|(_, leg)| is_voiced(leg))
    }
}
