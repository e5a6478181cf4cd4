//! Calls whose media falls silent are ended (spec §9): the relay is asked now and then when it heard
//! each party. Any ng daemon knows, that of the same process as well.

use std::time::{Duration, Instant};

use super::{Action, Proxy, Timed};
use crate::dialog::State;
use crate::dialog::silence::Silence;
use crate::limits;
use crate::record::cdr::EndedBy;
use crate::relay::{MediaCommand, MediaError, MediaReply, MediaRequest};
use crate::side::Side;

impl Proxy {
    /// A call was answered: its media is listened for from now on.
    pub(super) fn watch_media(&mut self, now: Instant, id: u64) {
        let Some(pause) = self.pause() else {
            return;
        };
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        // One that is tried again may be watched yet.
        let is_watched = dialog.silence.replace(Silence::new(now)).is_some();
        if !is_watched {
            let at = now + pause;
            self.timers.push(std::cmp::Reverse((at, Timed::Watch(id))));
        }
    }

    /// Between two questions about a call; `None`: none is asked.
    fn pause(&self) -> Option<Duration> {
        let [least, most] = limits::SILENCE_PAUSES;
        Some((self.config.media.silence? / 4).clamp(least, most))
    }

    pub(super) fn on_watch_timeout(&mut self, now: Instant, id: u64) {
        let (Some(pause), Some(dialog)) = (self.pause(), self.dialogs.get_mut(&id)) else {
            return;
        };
        let Some(silence) = dialog
            .silence
            .as_mut()
            .filter(|_| dialog.state != State::Ended)
        else {
            dialog.silence = None;
            return;
        };
        let at = now + pause;
        self.timers.push(std::cmp::Reverse((at, Timed::Watch(id))));
        if !dialog.media.expects_both() {
            silence.excuse(now);
        }
        if !dialog.media.is_agreed() {
            return;
        }
        let request = MediaRequest::bare(MediaCommand::Query, &dialog.media_id, String::new());
        let token = self.unique();
        self.questions.insert(token, id);
        self.actions.push_back(Action::Media {
            token,
            request: Box::new(request),
        });
    }

    /// The relay says when it heard the parties of a call. False if this token asks something else.
    pub(super) fn on_media_heard(
        &mut self,
        now: Instant,
        token: u64,
        result: &Result<MediaReply, MediaError>,
    ) -> bool {
        let Some(id) = self.questions.remove(&token) else {
            return false;
        };
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return true;
        };
        let Some(silence) = dialog
            .silence
            .as_mut()
            .filter(|_| dialog.state != State::Ended)
        else {
            return true;
        };
        let is_over = match result {
            Ok(reply) => {
                if reply.last_packets.is_empty() {
                    // Nothing is known; that is no silence.
                    silence.excuse(now);
                }
                for (tag, last) in &reply.last_packets {
                    let side = match tag.as_bytes() == dialog.caller_tag {
                        true => Side::Caller,
                        false => Side::Callee,
                    };
                    silence.hear(side, *last, now);
                }
                let policy = self.config.media;
                policy
                    .silence
                    .is_some_and(|after| silence.is_over(after, policy.silent_sides, now))
            }
            // It has forgotten the call, which is silence in its own view.
            Err(MediaError::Refused(_)) => dialog.media.is_agreed(),
            // A relay that is away says nothing about the parties.
            Err(_) => false,
        };
        if is_over {
            dialog.ended_by.get_or_insert(EndedBy::Media);
            self.end_call(now, id, 408, "Media Timeout");
        }
        true
    }
}
