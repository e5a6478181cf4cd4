//! What a call's progress tells those who watch: events, and the delays behind the metrics
//! (spec §15).

use std::time::Instant;

use super::Proxy;
use crate::dialog::State;
use crate::message::Method;
use crate::record::event::Event;

impl Proxy {
    /// A response to the INVITE that opened a call: it rings, or it is answered.
    pub(super) fn note_progress(&mut self, now: Instant, transit: u64, status: u16) {
        let transit = self
            .transits
            .get(&transit)
            .filter(|transit| transit.initial);
        let Some(transit) = transit.filter(|t| t.request.method() == Method::Invite) else {
            return;
        };
        let id = transit.dialog;
        let Some((id, dialog)) = id.and_then(|id| Some((id, self.dialogs.get_mut(&id)?))) else {
            return;
        };
        if !(101..300).contains(&status) || dialog.state != State::Early {
            return;
        }
        if !dialog.has_rung {
            dialog.has_rung = true;
            let delay = now.saturating_duration_since(dialog.attempted);
            self.stats.setup_delay.count(delay);
            if let Some(target) = &dialog.target {
                target.live().count_ring(delay);
            }
        }
        if status >= 200 {
            self.tell(Event::CallState {
                id,
                state: "confirmed",
                code: status,
            });
        }
    }
}
