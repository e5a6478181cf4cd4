//! Digits that parties pressed, and their observers (spec: media-behaviour §11).

use std::net::SocketAddr;
use std::time::Instant;

use windlass_ng::{CallId, Label, Request, Tag};

use super::model::call::{Call, Now};
use super::model::leg::LegIndex;
use super::model::media::{EndpointMap, Media};
use super::serve::Calls;
use super::table::lock;
use crate::media::dtmf::Digit;

/// Party that pressed a digit.
#[derive(Clone, Debug)]
pub struct DigitSource {
    /// The call.
    pub call_id: CallId,
    /// The party.
    pub tag: Option<Tag>,
    /// Its label.
    pub label: Option<Label>,
    /// Tags of all parties of the call.
    pub tags: Vec<Tag>,
    /// Destination of the call's digit reports, in addition to the configured ones.
    pub report_to: Option<SocketAddr>,
}

impl Calls {
    /// Handles a digit of a party: its packets arrived at `local`, in the call of this number.
    /// Carries out the effect of the digit and returns its party. `None` if the call is over, or
    /// its digits have no observer. `random` makes the name of a recording unique.
    pub fn digit_pressed(
        &self,
        number: u64,
        local: SocketAddr,
        digit: Digit,
        random: u64,
        now: Now,
    ) -> Option<DigitSource> {
        let entry = self.numbered(number)?;
        let mut slot = lock(&entry);
        let call = slot.as_mut()?;
        if !self.defaults.report_digits && !call.reports_digits() {
            return None;
        }
        let bears = |media: &Media| {
            let mut ports = media.maps.iter().flat_map(EndpointMap::ports);
            ports.any(|port| port.local == local)
        };
        let (index, _) = call.all_medias().find(|(_, media)| bears(media))?;
        self.obey(call, index, digit, random, now);
        self.trigger_blocks(call, index, digit, now.instant);
        let leg = call.legs.get(index)?;
        Some(DigitSource {
            call_id: call.id.clone(),
            tag: leg.tag.clone(),
            label: leg.label.clone(),
            tags: call.legs.iter().filter_map(|leg| leg.tag.clone()).collect(),
            report_to: call.extras.as_deref().and_then(|extras| extras.digits_to),
        })
    }

    /// Takes note of a call whose digits are to be reported.
    pub(super) fn watch_digits(&self, call: &mut Call, request: &Request) {
        if let Some(callback) = request.rare.xmlrpc_callback {
            call.extras_mut().callback = Some(callback);
        }
        if let Some(destination) = &request.dtmf.log_destination {
            match destination.parse() {
                Ok(address) => call.extras_mut().digits_to = Some(address),
                Err(_) => tracing::warn!(
                    call_id = %call.id, destination,
                    "DTMF-log-dest is not ADDRESS:PORT; ignored"
                ),
            }
        }
        self.take_codes(call, request);
    }

    /// A party's digit may begin or end a block.
    pub(super) fn trigger_blocks(
        &self,
        call: &mut Call,
        index: LegIndex,
        digit: Digit,
        now: Instant,
    ) {
        let leg = call.legs.get_mut(index);
        let extras = leg.and_then(|leg| leg.extras.as_deref_mut());
        let of_leg = extras.and_then(|extras| {
            extras.muted.dtmf = extras.trigger.as_mut()?.on_digit(index, digit, now)?;
            Some(extras.muted.dtmf)
        });
        let extras = call.extras.as_deref_mut();
        let of_call = extras.and_then(|extras| {
            extras.muted.dtmf = extras.trigger.as_mut()?.on_digit(index, digit, now)?;
            Some(extras.muted.dtmf)
        });
        for block in of_leg.iter().chain(&of_call) {
            let mode = block.rule.name();
            tracing::info!(call_id = %call.id, mode, "DTMF trigger");
        }
        if (of_leg.is_some() || of_call.is_some())
            && let Err(error) = self.carry_out(call, Vec::new())
        {
            tracing::error!(call_id = %call.id, %error, "DTMF not blocked");
        }
    }
}
