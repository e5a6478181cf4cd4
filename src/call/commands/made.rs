//! Commands that make the call and the party where there are none yet: publish, create, transform
//! (spec: ng-protocol §5).

use std::net::SocketAddr;

use windlass_ng::{CallId, Dict, Reply, Tag};

use super::{GENERATED_BYTES, Refused, Scene};
use crate::call::identity::hex;
use crate::call::model::call::{Call, Now};
use crate::call::serve::Calls;
use crate::call::table::{Entry, lock};
use crate::call::timeouts::EndReason;

impl Calls {
    /// Runs a command for the call and party that the request names, by made-up names where it has
    /// none. The reply has the names, and then what the command adds. `unknown` is said if the
    /// call ended meanwhile.
    pub(super) fn on_call_made(
        &self,
        mut scene: Scene<'_>,
        source: SocketAddr,
        unknown: Refused,
        command: impl FnOnce(&Self, &mut Call, &Tag, &mut Scene<'_>) -> Result<Dict, Refused>,
    ) -> Reply {
        let (id, tag) = names(&mut scene);
        let (entry, is_new) = match self.find_or_create(scene.request, &id, source, scene.now) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let now = scene.now;
        let mut answer = Dict::new().with("call-id", &id).with("from-tag", &tag);
        let reply = self.on_call_named(&id, scene, unknown, |calls, call, scene| {
            let more = command(calls, call, &tag, scene)?;
            answer.extend(more.into_entries());
            Ok(Reply::ok(answer))
        });
        if is_new && reply.is_error() {
            self.end_refused(&id, &entry, now);
        }
        reply
    }

    /// Ends a call that was made for a command which was refused: nothing else ever would.
    fn end_refused(&self, id: &CallId, entry: &Entry, now: Now) {
        let mut slot = lock(entry);
        let is_empty = |call: &Call| call.legs.iter().all(|leg| leg.said.is_none());
        if slot.as_ref().is_some_and(is_empty) {
            self.end(id, entry, &mut slot, EndReason::Forced, now);
        }
    }
}

/// Call-id and tag of a request, made up where it has none.
fn names(scene: &mut Scene<'_>) -> (CallId, Tag) {
    let id = scene.request.call_id.clone();
    let tag = scene.request.from_tag.clone();
    (
        id.unwrap_or_else(|| CallId::from(&hex(scene.rng, GENERATED_BYTES))),
        tag.unwrap_or_else(|| Tag::from(&hex(scene.rng, GENERATED_BYTES))),
    )
}
