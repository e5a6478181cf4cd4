//! Media that comes from elsewhere than where media goes, for the agent of the flow to know.

use std::net::SocketAddr;
use std::time::Instant;

use crate::limits::HEAR_INTERVAL;

/// The source that media came from last, if it is not the one in use.
#[derive(Debug, Default)]
pub(super) struct Elsewhere(Option<Box<Run>>);

#[derive(Debug)]
struct Run {
    from: SocketAddr,
    packets: u8,
    told_at: Option<Instant>,
}

impl Elsewhere {
    /// A packet came from the source in use.
    pub(super) fn end(&mut self) {
        if let Some(run) = &mut self.0 {
            run.packets = 0;
        }
    }

    /// A packet came from another source. Whether the agent is to be told, which takes this many of
    /// them in a row.
    pub(super) fn is_told(&mut self, from: SocketAddr, packets: u8, now: Instant) -> bool {
        let run = self.0.get_or_insert_with(|| {
            Box::new(Run {
                from,
                packets: 0,
                told_at: None,
            })
        });
        if run.from != from {
            (run.from, run.packets) = (from, 0);
        }
        run.packets = run.packets.saturating_add(1);
        let waits = |at: Instant| now.saturating_duration_since(at) < HEAR_INTERVAL;
        if run.packets < packets || run.told_at.is_some_and(waits) {
            return false;
        }
        run.told_at = Some(now);
        true
    }
}
