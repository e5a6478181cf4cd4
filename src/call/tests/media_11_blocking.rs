//! Blocking and silencing at every level: of the call, of a party, of a flow (media-behaviour §11).

use super::ng_05_commands::{FROM, TO, connected, flow_of};
use super::*;
use crate::flow::digits::DigitRule;

/// What is withheld of a party: audio, digits, and whether audio is silence.
fn withheld(bench: &Bench, signalled: &str) -> [bool; 3] {
    let flow = flow_of(bench, signalled);
    let mut rules = flow.sinks.iter().filter_map(|sink| sink.rules.as_deref());
    let Some(rules) = rules.next() else {
        return [false; 3];
    };
    [
        rules.withhold.drop_media,
        rules.withhold.digits.at(bench.now.instant) == DigitRule::Drop,
        !rules.change.silence.is_empty(),
    ]
}

fn of_party(name: &'static str) -> Dict {
    command(name)
        .with("from-tag", "F")
        .with("flags", strings(&["directional"]))
}

fn of_flow(name: &'static str) -> Dict {
    of_party(name).with("to-tag", "T")
}

#[test]
fn any_level_withholds_until_the_last_one_is_lifted() {
    for (kind, on, off) in [
        (0, "block media", "unblock media"),
        (1, "block DTMF", "unblock DTMF"),
        (2, "silence media", "unsilence media"),
    ] {
        // Digits have no flows to be selected by (ng-protocol §5).
        let levels: &[fn(&'static str) -> Dict] = match kind {
            1 => &[command, of_party],
            _ => &[command, of_party, of_flow],
        };
        let mut bench = connected();
        for level in levels {
            bench.ask(level(on));
        }
        let mut expected = [false; 3];
        expected[kind] = true;
        for level in levels {
            assert_eq!(withheld(&bench, FROM), expected, "{on}");
            bench.ask(level(off));
        }
        assert_eq!(withheld(&bench, FROM), [false; 3], "{off}");
        // What is said of one direction says nothing of the other.
        for level in levels.iter().skip(1) {
            bench.ask(level(on));
            assert_eq!(withheld(&bench, FROM), expected, "{on}");
            assert_eq!(withheld(&bench, TO), [false; 3], "{on}");
            bench.ask(level(off));
        }
        bench.ask(command(on));
        assert_eq!(withheld(&bench, TO), expected, "{on}");
    }
}

#[test]
fn reports_pass_a_block() {
    let mut bench = connected();
    bench.ask(command("block media"));
    let rtp = flow_of(&bench, FROM);
    let reports = rtp
        .sinks
        .iter()
        .filter(|sink| sink.carries == crate::flow::Carries::Rtcp);
    assert!(reports.clone().count() > 0 && reports.into_iter().all(|sink| sink.rules.is_none()));
}
