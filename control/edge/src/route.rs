//! Where a message goes.

use crate::transport::{Destination, Flow};

/// The way of a request: the next hop and the socket towards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: Destination,
    /// Index of the zone that it goes to.
    pub(crate) zone: usize,
    /// What the Request-URI becomes, if it is an alias of ours.
    pub(crate) uri: Option<Box<[u8]>>,
    /// How many leading Route values are ours and leave.
    pub(crate) strip: usize,
}

impl Route {
    pub(crate) fn listener(&self) -> u16 {
        self.flow().listener
    }

    /// The next hop as a flow; of a connection that is still to be chosen, with the number 0.
    pub(crate) fn flow(&self) -> Flow {
        match &self.to {
            Destination::Flow(flow) => *flow,
            Destination::Open { listener, peer, .. } => Flow {
                listener: *listener,
                peer: *peer,
                connection: 0,
            },
        }
    }
}
