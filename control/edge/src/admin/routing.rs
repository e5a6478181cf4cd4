//! Targets of upstreams and the dry run of routes, for operators.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::desk::Desk;
use super::order::{DryRun, Refusal};
use crate::target::{Change, ChangeError, Explanation, Seen, Standing, TargetView, state};

impl Desk {
    pub(super) fn targets(&self) -> Value {
        let targets = self.snapshot.read().routing.pools().list();
        let targets: Vec<Value> = targets.iter().map(target_json).collect();
        json!({ "targets": targets })
    }

    pub(super) fn target(&self, id: &str) -> Result<Value, Refusal> {
        let targets = self.snapshot.read().routing.pools().list();
        let found = targets.iter().find(|target| target.id == id);
        let error = || Refusal::new(404, format!("there is no target {id}"));
        found.map(target_json).ok_or_else(error)
    }

    pub(super) async fn change_target(&self, id: &str, change: &Change) -> Result<Value, Refusal> {
        let pools = self.snapshot.read().routing.pools().clone();
        let changed = pools.set(id, change).map_err(|error| {
            let status = match error {
                ChangeError::NoSuchTarget { .. } => 404,
                ChangeError::NoSuchResource { .. } | ChangeError::Weight { .. } => 422,
            };
            Refusal::new(status, error.to_string())
        })?;
        // The first shard tells of states.
        self.ask(0, |proxy, _| proxy.tell_states()).await;
        Ok(target_json(&changed))
    }

    pub(super) fn dry_run(&self, run: &DryRun) -> Result<Value, Refusal> {
        let snapshot = self.snapshot();
        let zones = &snapshot.config.zones;
        let zone = match &run.zone {
            Some(name) => zones.iter().find(|zone| zone.name == *name),
            None => zones.first(),
        };
        let zone = zone.ok_or_else(|| {
            let name = run.zone.clone().unwrap_or_default();
            Refusal::new(422, format!("no zone is called \"{name}\""))
        })?;
        let ruri = match run.host.is_empty() {
            true => format!("sip:{}", run.number),
            false => format!("sip:{}@{}", run.number, run.host),
        };
        let seen = Seen {
            from_zone: &zone.name,
            peer: run.peer.as_deref(),
            method: run.method.as_bytes(),
            call_id: b"",
            ruri: ruri.as_bytes(),
            ruri_user: run.number.as_bytes(),
            ruri_host: run.host.as_bytes(),
            user: run.user.as_bytes(),
            aor: b"",
        };
        let mut rng = StdRng::from_os_rng();
        let routes = snapshot.routing.routes();
        let explanation = routes.explain(snapshot.routing.pools(), &seen, &mut rng);
        Ok(explanation_json(&explanation))
    }
}

fn target_json(target: &TargetView) -> Value {
    let resources: Map<String, Value> = target
        .resources
        .iter()
        .map(|(name, used, max)| (name.clone(), json!({ "used": used, "max": max })))
        .collect();
    let calling = &target.calling;
    json!({
        "id": target.id,
        "upstream": target.pool,
        "uri": target.uri,
        "state": state(target.admin, target.health),
        "group": target.group,
        "weight": target.weight,
        "misses": target.misses,
        "calls": target.calls,
        "resources": resources,
        "attempts": target.attempts,
        "answered": target.answered,
        "failed": target.failed,
        "asr": calling.asr(),
        "acd_s": calling.acd(),
        "pdd_s": calling.pdd(),
    })
}

/// The rules that were passed, the one that fits and what is tried.
pub(super) fn explanation_json(explanation: &Explanation) -> Value {
    let passed: Vec<Value> = explanation
        .passed
        .iter()
        .map(|(rule, condition)| json!({ "route": rule, "differs": condition }))
        .collect();
    let targets: Vec<Value> = explanation
        .targets
        .iter()
        .map(|target| {
            json!({
                "id": target.id,
                "uri": target.uri,
                "group": target.group,
                "state": match target.state {
                    Standing::Drained => "drain".to_owned(),
                    Standing::Failed => "failed".to_owned(),
                    Standing::Full => "full".to_owned(),
                    Standing::LacksResource => "lacks resource".to_owned(),
                    Standing::SwitchedOff => "down".to_owned(),
                    Standing::Tried(place) => format!("tried {place}"),
                },
            })
        })
        .collect();
    json!({
        "passed": passed,
        "route": explanation.rule,
        "to_request_uri": explanation.by_request_uri,
        "targets": targets,
    })
}
