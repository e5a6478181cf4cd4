//! Connections that calls and registrations need: the driver keeps them open though nothing is sent.

use std::collections::{HashMap, VecDeque};

use crate::transport::Flow;

/// How often each connection is needed, and what changed about that.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    counts: HashMap<Flow, usize, foldhash::quality::RandomState>,
    /// In the order in which it happened: the last word on a connection is the one that counts.
    changed: VecDeque<(Flow, bool)>,
}

impl Uses {
    pub(crate) fn take(&mut self, flow: Flow) {
        let count = self.counts.entry(flow).or_default();
        *count += 1;
        if *count == 1 {
            self.changed.push_back((flow, true));
        }
    }

    pub(crate) fn release(&mut self, flow: Flow) {
        let Some(count) = self.counts.get_mut(&flow) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&flow);
            self.changed.push_back((flow, false));
        }
    }

    /// A connection that is needed from now on, or not any more.
    pub(crate) fn poll(&mut self) -> Option<(Flow, bool)> {
        self.changed.pop_front()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}
