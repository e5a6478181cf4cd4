//! DTMF codes that control the recording of a call, and what was typed of them (spec: ng-protocol §6
//! `vsc-…`).

use std::time::{Duration, Instant};

use windlass_ng::ListWriter;
use windlass_ng::request::VscCodes;

use super::leg::LegIndex;
use crate::media::dtmf::{Digit, Trigger};

/// Effect of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Start,
    Stop,
    StartStop,
    Pause,
    PauseResume,
    StartPauseResume,
}

impl Action {
    /// Name in the options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "start-rec",
            Self::Stop => "stop-rec",
            Self::StartStop => "start-stop-rec",
            Self::Pause => "pause-rec",
            Self::PauseResume => "pause-resume-rec",
            Self::StartPauseResume => "start-pause-resume-rec",
        }
    }
}

/// The codes of a call, and what its parties typed of them.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    codes: Vec<(Action, String)>,
    gap: Duration,
    typed: Vec<(LegIndex, Vec<Trigger>)>,
}

impl Codes {
    /// The codes of a request, else those of the configuration. `None`: there are none.
    pub(crate) fn of(request: &VscCodes, configured: &VscCodes, gap: Duration) -> Option<Self> {
        let pairs = [
            (Action::Start, &request.start, &configured.start),
            (Action::Stop, &request.stop, &configured.stop),
            (
                Action::StartStop,
                &request.start_stop,
                &configured.start_stop,
            ),
            (Action::Pause, &request.pause, &configured.pause),
            (
                Action::PauseResume,
                &request.pause_resume,
                &configured.pause_resume,
            ),
            (
                Action::StartPauseResume,
                &request.start_pause_resume,
                &configured.start_pause_resume,
            ),
        ];
        let codes = pairs.into_iter().filter_map(|(action, own, general)| {
            let code = own.as_ref().or(general.as_ref())?;
            if Trigger::new(code, gap).is_none() {
                tracing::warn!(
                    code,
                    action = action.name(),
                    "no code of DTMF digits; ignored"
                );
                return None;
            }
            Some((action, code.clone()))
        });
        let codes: Vec<(Action, String)> = codes.collect();
        (!codes.is_empty()).then(|| Self {
            codes,
            gap,
            typed: Vec::new(),
        })
    }

    /// Effect of a party's digit.
    pub(crate) fn on_digit(&mut self, leg: LegIndex, digit: Digit, now: Instant) -> Vec<Action> {
        let known = self.typed.iter().position(|(of, _)| *of == leg);
        let index = known.unwrap_or_else(|| {
            let triggers = self
                .codes
                .iter()
                .filter_map(|(_, code)| Trigger::new(code, self.gap));
            self.typed.push((leg, triggers.collect()));
            self.typed.len() - 1
        });
        let triggers = self
            .typed
            .get_mut(index)
            .map(|(_, triggers)| triggers.as_mut_slice());
        let codes = self.codes.iter().zip(triggers.unwrap_or_default());
        let completed = codes
            .filter_map(|((action, _), trigger)| trigger.on_digit(digit, now).then_some(*action));
        completed.collect()
    }

    /// Form in `query`.
    pub(crate) fn describe(&self, list: &mut ListWriter<'_>) {
        for (action, code) in &self.codes {
            list.dict(|dict| {
                dict.put("type", action.name());
                dict.put("trigger", code.as_str());
                dict.put("active", 1_u64);
            });
        }
    }
}
