//! ng-protocol §14: the words for publish, subscribe, connect, inject, mesh and create.

use super::ng_14_strings::{check, flags, id, nobody, sdp, text};
use super::*;

#[test]
fn publish_subscribe() {
    let (to, garbage) = (text("to-tag", "X"), text("sdp", "garbage"));
    check(&[
        ("publish", vec![], "No SDP body in message"),
        ("publish", vec![garbage.clone()], "Failed to parse SDP"),
        ("subscribe request", vec![], "No call-id in message"),
        ("subscribe request", vec![nobody()], "Unknown call-ID(s)"),
        (
            "subscribe request",
            vec![id()],
            "No medias found (no monologues matched)",
        ),
        (
            "subscribe request",
            vec![id(), text("from-tag", "X")],
            "From-tag given, but no such tag exists",
        ),
        (
            "subscribe request",
            vec![id(), text("label", "X")],
            "No monologue matching the given label",
        ),
        ("subscribe answer", vec![], "No call-id in message"),
        (
            "subscribe answer",
            vec![nobody(), sdp(), to.clone()],
            "Unknown call-ID(s)",
        ),
        (
            "subscribe answer",
            vec![id(), to.clone()],
            "No SDP body in message",
        ),
        (
            "subscribe answer",
            vec![id(), sdp()],
            "No to-tag in message",
        ),
        (
            "subscribe answer",
            vec![id(), sdp(), to.clone()],
            "To-tag not found",
        ),
        ("unsubscribe", vec![], "No call-id in message"),
        (
            "unsubscribe",
            vec![nobody(), to.clone()],
            "Unknown call-ID(s)",
        ),
        ("unsubscribe", vec![id()], "No to-tag in message"),
        ("unsubscribe", vec![id(), to.clone()], "To-tag not found"),
        (
            "unsubscribe",
            vec![
                id(),
                text("to-tag", "T"),
                text("from-tag", "X"),
                flags(&["directional"]),
            ],
            "From-tag not found",
        ),
    ]);
}

#[test]
fn connect_inject_mesh() {
    let from = || text("from-tag", "F");
    let to = || text("to-tag", "T");
    let source = |tag| text("source-tag", tag);
    let entry = |from: Option<&'static str>, to: &'static str| {
        let entry = Dict::new()
            .with_some("from", from)
            .with("to", strings(&[to]));
        let list: Value = [Value::from(entry)].into_iter().collect();
        ("tags", list)
    };
    let calls = |names: &[&str]| ("calls", strings(names));
    check(&[
        ("connect", vec![], "No call-id in message"),
        (
            "connect",
            vec![nobody(), from(), to()],
            "Unknown call-ID(s)",
        ),
        ("connect", vec![id(), from()], "No to-tag in message"),
        ("connect", vec![id(), from(), text("to-tag", "N")], "ok"),
        (
            "connect",
            vec![id(), text("from-tag", "X"), to()],
            "From-tag given, but no such tag exists",
        ),
        (
            "connect",
            vec![id(), to()],
            "No medias found (no monologues matched)",
        ),
        (
            "connect",
            vec![id(), from(), to(), text("to-call-id", "none")],
            "Unknown call-ID(s)",
        ),
        (
            "connect",
            vec![id(), from(), to(), text("to-call-id", "other")],
            "Failed to merge two calls into one (tag collision)",
        ),
        ("inject start", vec![], "No call-id in message"),
        (
            "inject start",
            vec![nobody(), to(), source("P")],
            "Unknown call-ID(s)",
        ),
        (
            "inject start",
            vec![id(), source("P")],
            "No to-tag in message",
        ),
        ("inject start", vec![id(), to()], "No source-tag in message"),
        (
            "inject start",
            vec![id(), text("to-tag", "X"), source("P")],
            "To-tag not found",
        ),
        (
            "inject start",
            vec![id(), to(), source("X")],
            "Source-tag not found",
        ),
        (
            "inject start",
            vec![id(), to(), source("T")],
            "Trying to inject to self",
        ),
        (
            "inject start",
            vec![id(), to(), source("P"), text("source-call-id", "other")],
            "Failed to merge two calls into one (tag collision)",
        ),
        (
            "inject stop",
            vec![id(), to(), source("P")],
            "Failed to stop inject",
        ),
        ("mesh", vec![], "Unknown call ID(s)"),
        ("mesh", vec![calls(&["none"])], "Unknown call ID(s)"),
        (
            "mesh",
            vec![calls(&["call", "other"])],
            "Failed to merge calls (tag collision)",
        ),
        (
            "mesh",
            vec![calls(&["call"]), entry(Some("X"), "T")],
            "Given from-tag not found",
        ),
        (
            "mesh",
            vec![calls(&["call"]), entry(Some("F"), "X")],
            "Given to-tag not found",
        ),
        (
            "mesh",
            vec![calls(&["call"]), entry(None, "T")],
            "Empty/missing from-tag",
        ),
        (
            "mesh",
            vec![calls(&["call"]), entry(Some(""), "T")],
            "Empty/missing from-tag",
        ),
    ]);
}

#[test]
fn create_and_transform() {
    let tag = || text("from-tag", "X");
    check(&[
        ("create answer", vec![id(), tag()], "No SDP body in message"),
        ("create answer", vec![sdp(), tag()], "No call-id in message"),
        ("create answer", vec![sdp(), id()], "No from-tag in message"),
        (
            "create answer",
            vec![sdp(), nobody(), tag()],
            "unknown call-ID",
        ),
        (
            "create answer",
            vec![sdp(), id(), tag()],
            "from-tag not found",
        ),
        ("transform", vec![], "Failed to set up transform"),
    ]);
}
