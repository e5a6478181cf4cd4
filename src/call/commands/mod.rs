//! Commands on parties of a call, beside offer and answer (spec: ng-protocol §5).

mod alone;
mod block_dtmf;
mod connect;
mod create;
mod made;
mod merge;
mod mute;
mod party;
mod publish;
mod recording;
mod select;
mod siprec;
mod sources;
mod subscribe;
mod transform;

use std::net::SocketAddr;

use rand::RngCore;
use windlass_ng::{CallId, Command, Reply, Request, errors};

use super::model::call::{Call, Now};
use super::offer::Refusal;
use super::serve::Calls;
use super::table::lock;
use crate::flow::port::PortLease;

/// Reason why a command was not carried out: the protocol's text.
pub(super) type Refused = &'static str;

/// Input of a command in addition to the call.
pub(super) struct Scene<'a> {
    pub(super) request: &'a Request,
    pub(super) now: Now,
    pub(super) rng: &'a mut dyn RngCore,
    /// Ports that were leased on the way.
    pub(super) leases: Vec<PortLease>,
}

impl Calls {
    /// Carries out a command on parties.
    pub(super) fn on_parties(
        &self,
        request: &Request,
        source: SocketAddr,
        now: Now,
        rng: &mut dyn RngCore,
    ) -> Reply {
        use Command as C;
        let scene = Scene {
            request,
            now,
            rng,
            leases: Vec::new(),
        };
        let party = errors::UNKNOWN_CALL_ID_PARTY;
        let several = errors::UNKNOWN_CALL_IDS;
        match request.command {
            C::BlockDtmf | C::UnblockDtmf => self.on_call(scene, party, Self::block_dtmf),
            C::BlockMedia | C::UnblockMedia | C::SilenceMedia | C::UnsilenceMedia => {
                self.on_call(scene, party, Self::mute)
            }
            C::StartForwarding | C::StopForwarding => self.on_call(scene, party, Self::forward),
            C::StartRecording | C::StopRecording | C::PauseRecording => {
                self.on_call(scene, errors::UNKNOWN_CALL_ID, Self::record)
            }
            C::PlayMedia => self.on_call(scene, party, |_, call, scene| {
                call.select_party(scene.request)?;
                Err(unsupported(
                    call,
                    "there is no codec engine to play media with",
                ))
            }),
            C::StopMedia => self.on_call(scene, party, |_, call, scene| {
                call.select_party(scene.request)?;
                Err(errors::NOT_PLAYING)
            }),
            C::PlayDtmf => self.on_call(scene, party, Self::play_dtmf),
            C::Publish => self.publish(scene, source),
            C::SubscribeRequest => self.on_call(scene, several, Self::subscribe_request),
            C::SubscribeAnswer => self.on_call(scene, several, Self::subscribe_answer),
            C::Unsubscribe => self.on_call(scene, several, Self::unsubscribe),
            C::Connect => self.connect(scene),
            C::Mesh => self.mesh(scene),
            C::InjectStart | C::InjectStop => self.inject(scene),
            C::Create => self.create(scene, source),
            C::CreateAnswer => {
                self.on_call(scene, errors::CREATE_UNKNOWN_CALL_ID, Self::create_answer)
            }
            C::Transform => self.transform(scene, source),
            other => Reply::error(format!("command '{}' is not built", other.name())),
        }
    }

    /// Runs a command on the call that the request names, and puts its plan in force; nothing
    /// changes where either fails. `unknown` is said where there is no such call.
    fn on_call(
        &self,
        scene: Scene<'_>,
        unknown: Refused,
        command: impl FnOnce(&Self, &mut Call, &mut Scene<'_>) -> Result<Reply, Refused>,
    ) -> Reply {
        match scene.request.require_call_id() {
            Ok(id) => self.on_call_named(id, scene, unknown, command),
            Err(reason) => Reply::error(reason),
        }
    }

    /// The same for a call named otherwise.
    fn on_call_named(
        &self,
        id: &CallId,
        mut scene: Scene<'_>,
        unknown: Refused,
        command: impl FnOnce(&Self, &mut Call, &mut Scene<'_>) -> Result<Reply, Refused>,
    ) -> Reply {
        let Some(entry) = self.table.find(id) else {
            return Reply::error(unknown);
        };
        let mut slot = lock(&entry);
        let Some(call) = slot.as_mut() else {
            return Reply::error(unknown);
        };
        let mut draft = call.clone();
        match command(self, &mut draft, &mut scene) {
            Ok(reply) => match self.commit(call, draft, scene.leases, scene.now) {
                Ok(()) => reply,
                Err(error) => Reply::error(Refusal::Forwarding(error).reply()),
            },
            Err(reason) => {
                self.take_back_recording(call, &draft);
                Reply::error(reason)
            }
        }
    }
}

/// Refuses a command that needs decoded audio, for which there is no engine yet. The proxy gets the
/// protocol's word; the log names the reason.
pub(super) fn unsupported(call: &Call, why: &str) -> Refused {
    tracing::warn!(call_id = %call.id, "command not carried out: {why}");
    errors::UNSUPPORTED
}

/// Bytes of tags and call-ids that the relay makes up: 64 hex digits.
pub(super) const GENERATED_BYTES: usize = 32;
