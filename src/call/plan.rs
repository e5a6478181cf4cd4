//! The plan that brings the data plane in line with a call.

use std::hash::BuildHasher;
use std::sync::Arc;

use super::agents;
use super::flows::{self, Defaults};
use super::model::call::Call;
use super::model::in_force::InForce;
use crate::flow::{FlowChange, FlowSpec, Plan};

impl Call {
    /// The flows that the legs ask for now, compared with those in force: the difference, and what
    /// is in force once it is carried out ([`Self::set_in_force`]).
    pub(super) fn plan(&self, defaults: &Defaults) -> (Plan, InForce) {
        let flowing = self.flowing();
        let wanted = flows::of_call(&flowing, defaults);
        let agents = agents::of_call(&flowing, defaults);
        let mut then_in_force = Vec::with_capacity(wanted.len());
        let mut changes = Vec::new();
        for spec in wanted {
            let (local, digest) = (spec.local, digest(&spec));
            match self.in_force.digest(local) {
                None => changes.push(FlowChange::Install(spec)),
                Some(before) if before != digest => changes.push(FlowChange::Change(spec)),
                Some(_) => {}
            }
            then_in_force.push((local, digest));
        }
        let is_other = agents != self.in_force.agents();
        let then_in_force = InForce::new(then_in_force, Arc::from(&*agents));
        let gone = self.in_force.addresses();
        let gone = gone.filter(|local| then_in_force.digest(*local).is_none());
        changes.extend(gone.map(FlowChange::Remove));
        let plan = Plan {
            call: self.number,
            worker: self.worker,
            changes,
            agents: is_other.then_some(agents),
        };
        (plan, then_in_force)
    }

    /// What takes all of its flows out of the data plane. Its agents go on.
    pub(super) fn removal(&self) -> Plan {
        Plan {
            call: self.number,
            worker: self.worker,
            changes: self.in_force.addresses().map(FlowChange::Remove).collect(),
            agents: None,
        }
    }

    /// What puts all of its flows into the data plane, where none of them is.
    pub(super) fn installation(&self, defaults: &Defaults) -> Plan {
        let wanted = flows::of_call(&self.flowing(), defaults).into_iter();
        Plan {
            call: self.number,
            worker: self.worker,
            changes: wanted.map(FlowChange::Install).collect(),
            agents: None,
        }
    }
}

/// Tells two descriptions of a flow apart; a call keeps these instead of the descriptions.
fn digest(spec: &FlowSpec) -> u64 {
    foldhash::quality::FixedState::default().hash_one(spec)
}
