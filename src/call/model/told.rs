//! Events of sources that the log has already.

use crate::media::latch::Event;

/// Events already logged for a call's sources: each once per call, however many of its ports see
/// strangers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    unexpected: bool,
    contested: bool,
}

impl Told {
    /// Whether an event is to be logged. It is not the next time.
    pub(crate) fn is_news(&mut self, event: &Event) -> bool {
        let told = match event {
            Event::Unexpected(_) => &mut self.unexpected,
            Event::Contested(_) => &mut self.contested,
            Event::AgainstSignalling(_) | Event::Moved { .. } | Event::Settled(_) => return true,
        };
        !std::mem::replace(told, true)
    }
}
