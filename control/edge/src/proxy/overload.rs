//! A shard that does not keep up (spec §5 "Overload"): what is new is refused, first registrations,
//! then calls; what is under way goes on.

use std::time::{Duration, Instant};

use rand::Rng as _;

use super::{Proxy, request_uri};
use crate::limits;
use crate::message::Message;
use crate::message::uri::dialled;

/// How much is refused, by how long messages wait before they are read.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    stage: Stage,
    /// Whether they waited too long last, and since when it is so in this stage.
    turn: Option<(bool, Instant)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Serve,
    /// New registrations are refused.
    Registrations,
    /// New calls, messages and subscriptions as well.
    Calls,
}

impl Shedding {
    /// Messages waited so long. Each stage is a second of this apart from the next, both ways.
    fn observe(&mut self, waited: Duration, most: Duration, now: Instant) {
        let is_late = waited > most;
        let Some((_, since)) = self.turn.filter(|(was_late, _)| *was_late == is_late) else {
            self.turn = Some((is_late, now));
            return;
        };
        if now.saturating_duration_since(since) < limits::SHED_STEP {
            return;
        }
        self.turn = Some((is_late, now));
        self.stage = match (is_late, self.stage) {
            (true, Stage::Serve) | (false, Stage::Calls) => Stage::Registrations,
            (true, _) => Stage::Calls,
            (false, _) => Stage::Serve,
        };
    }
}

impl Proxy {
    /// The messages that come next waited so long for this shard.
    pub(crate) fn handle_delay(&mut self, now: Instant, waited: Duration) {
        let most = self.config.overload.shed_after;
        if most.is_zero() {
            return;
        }
        let before = self.shedding.stage;
        self.shedding.observe(waited, most, now);
        if self.shedding.stage != before {
            let stage = self.shedding.stage;
            tracing::warn!(?stage, ?waited, "the load of this shard changed");
        }
    }

    /// The Retry-After of a request that is refused because there is no time for it.
    pub(super) fn shed(&mut self, message: &Message) -> Option<String> {
        let needed = match message.text(message.parsed.method_name) {
            b"REGISTER" => Stage::Registrations,
            b"INVITE" | b"MESSAGE" | b"SUBSCRIBE" => Stage::Calls,
            _ => return None,
        };
        if self.shedding.stage < needed || message.to_tag().is_some() {
            return None;
        }
        let user = request_uri(message).user.of(&message.bytes);
        let mut priority = self.config.overload.priority.iter();
        let is_dialled = |number: &String| dialled(user).eq(dialled(number.as_bytes()));
        if priority.any(is_dialled) {
            return None;
        }
        // Not all at once.
        let after = self.rng.random_range(limits::SHED_RETRY);
        Some(format!("Retry-After: {after}\r\n"))
    }
}
