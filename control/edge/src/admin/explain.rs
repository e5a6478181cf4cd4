//! The explanation of a message as JSON.

use serde_json::{Value, json};

use super::routing::explanation_json;
use crate::proxy::Explained;
use crate::screen::Action;
use crate::screen::verdict::Said;

pub(super) fn to_json(explained: &Explained) -> Value {
    let steps: Vec<Value> = explained
        .steps
        .iter()
        .map(|step| {
            let (says, why, action) = match step.said {
                Said::Off => ("off", None, None),
                Said::Skipped => ("not concerned", None, None),
                Said::Next => ("next", None, None),
                Said::Passes(why) => ("passes", Some(why), None),
                Said::Objects(why, action) => ("objects", Some(why), Some(action.as_str())),
            };
            json!({
                "stage": step.stage.as_str(),
                "number": step.stage as u8,
                "says": says,
                "why": why,
                "action": action,
            })
        })
        .collect();
    let verdict = explained.verdict.as_ref().map(|(action, stage)| {
        json!({
            "action": action_name(action),
            "stage": stage.map(|stage| stage.as_str()),
        })
    });
    let refused =
        |refusal: Option<(u16, &str)>| refusal.map(|(code, reason)| format!("{code} {reason}"));
    let leaves = explained.leaves.as_ref().map(|head| {
        let text = String::from_utf8_lossy(head);
        text.split("\r\n").map(str::to_owned).collect::<Vec<_>>()
    });
    json!({
        "zone": explained.zone,
        "malformed": explained.malformed,
        "is_response": explained.is_response,
        "call": explained.call.map(|id| format!("{id:016x}")),
        "check": refused(explained.check),
        "stages": steps,
        "verdict": verdict,
        "routing": explained.routing.as_ref().map(explanation_json),
        "refused": refused(explained.refused),
        "target": explained.target,
        "target_is_looked_up": explained.is_name,
        "leaves": leaves,
    })
}

fn action_name(action: &Action) -> String {
    match action {
        Action::Pass => "pass".to_owned(),
        Action::Answer => "answer 200".to_owned(),
        Action::Drop => "drop".to_owned(),
        Action::Reject(refusal) => format!("reject {} {}", refusal.code, refusal.reason),
        Action::Fake200 => "fake200".to_owned(),
        Action::Close => "close".to_owned(),
        Action::Tarpit => "tarpit".to_owned(),
    }
}
