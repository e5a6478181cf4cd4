//! Values that are shown, set, compared and put back.

use std::time::Duration;

use super::Operated;
use crate::call::tests::{answer, audio, offer};

#[test]
fn values_are_set_and_take_effect() {
    let mut operated = Operated::new();
    for (line, expected, shown, value) in [
        (
            "set maxsessions 0",
            "maxsessions to 0",
            "maxsessions",
            "Maximum sessions configured on rtpengine: 0",
        ),
        (
            "set maxcpu 50",
            "maxcpu to 50.0",
            "maxcpu",
            "Maximum CPU usage configured on rtpengine: 50.0",
        ),
        (
            "set maxload 3.5",
            "maxload to 3.50",
            "maxload",
            "Maximum load average configured on rtpengine: 3.50",
        ),
        (
            "set maxbw 100000",
            "maxbw to 100000",
            "maxbw",
            "Maximum bandwidth configured on rtpengine: 100000",
        ),
        (
            "set maxopenfiles 70000",
            "open_files to 70000",
            "maxopenfiles",
            "Maximum open-files configured on rtpengine: 70000; cat /proc/4711/limits",
        ),
        ("set timeout 5", "timeout to 5", "timeout", "TIMEOUT=5"),
        (
            "set silenttimeout 6",
            "timeout to 6",
            "silenttimeout",
            "SILENT_TIMEOUT=6",
        ),
        (
            "set offertimeout 7",
            "timeout to 7",
            "offertimeout",
            "OFFER_TIMEOUT=7",
        ),
        (
            "set finaltimeout 0",
            "timeout to 0",
            "finaltimeout",
            "FINAL_TIMEOUT=0",
        ),
        ("set deletedelay 0", "delete-delay to 0", "deletedelay", "0"),
        ("set controltos 16", "control-tos to 16", "controltos", "16"),
        (
            "set redisallowederrors 1",
            "redis-allowed-errors to 1",
            "redisallowederrors",
            "1",
        ),
        (
            "set redisdisabletime 11",
            "redis-disable-time to 11",
            "redisdisabletime",
            "11",
        ),
        (
            "set redisconnecttimeout 9",
            "redis-connect-timeout to 9",
            "redisconnecttimeout",
            "9",
        ),
        (
            "set rediscmdtimeout 8",
            "redis-cmd-timeout to 8",
            "rediscmdtimeout",
            "8",
        ),
    ] {
        assert_eq!(operated.run(line), format!("Success setting {expected}\n"));
        assert_eq!(
            operated.run(&format!("list {shown}")),
            format!("{value}\n"),
            "{line}"
        );
    }
    let reply = operated.bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    assert_eq!(
        reply.get_str("error-reason"),
        Some("Parallel session limit reached")
    );
    let unlimited = "Success setting maxsessions to -1; disable feature\n";
    assert_eq!(operated.run("set maxsessions -1"), unlimited);
    let bench = &mut operated.bench;
    bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    assert_eq!(bench.calls.count(), 1);
    // A minute would be the default.
    bench.ask(answer(&audio("198.51.100.7", 5000, "")));
    bench.wait(4);
    assert_eq!(bench.calls.count(), 1);
    bench.wait(1);
    assert_eq!(bench.calls.count(), 0);
    assert_eq!(operated.bench.calls.timeouts().delete_delay, Duration::ZERO);
}

#[test]
fn bad_values_change_nothing() {
    let operated = Operated::new();
    for (line, expected) in [
        (
            "set timeout abc",
            "Fail setting timeout to abc; no digits found",
        ),
        (
            "set timeout 60x",
            "Fail setting timeout to 60x; not a number, or too large",
        ),
        (
            "set timeout 0",
            "Fail setting timeout to 0; only positive values allowed",
        ),
        (
            "set timeout -1",
            "Fail setting timeout to -1; only values from 0 to 31536000 allowed",
        ),
        (
            "set maxsessions abc",
            "Fail setting maxsessions to abc; no digits found",
        ),
        (
            "set maxsessions -5",
            "Fail setting maxsessions to -5; either positive or -1 values allowed",
        ),
        (
            "set maxcpu inf",
            "Fail setting maxcpu to inf; no digits found",
        ),
        (
            "set maxbw -1",
            "Fail setting maxbw to -1; only positive values allowed",
        ),
        (
            "set maxopenfiles 2000",
            "Fail setting open_files to 2000; can't set it under 65536",
        ),
        ("set deletedelay -1", "Invalid delete-delay value"),
        ("set controltos 300", "Invalid control-tos value 300"),
        (
            "set loglevel abc",
            "Fail setting loglevel to abc; no digits found",
        ),
        ("set loglevel nope 5", "Unknown command: nope 5"),
        ("set redisdisable 1", "No redis write to disable"),
        (
            "set redisdisabletime -5",
            "Invalid redis-disable-time value -5, must be >= 0",
        ),
        (
            "set redisconnecttimeout 0",
            "Invalid redis-connect-timeout value 0, must be > 0",
        ),
        (
            "set redisallowederrors x",
            "Fail setting redis-allowed-errors to x; no digits found",
        ),
    ] {
        assert_eq!(operated.run(line), format!("{expected}\n"));
    }
    assert_eq!(operated.run("params diff"), "");
}

#[test]
fn log_levels_reach_the_filter() {
    let operated = Operated::new();
    let descriptions = operated.run("list loglevels");
    let core = "core - Everything that isn't part of another subsystem\n";
    assert!(descriptions.starts_with(core), "{descriptions}");
    let levels = operated.run("list loglevel");
    assert!(levels.starts_with("core = 6\nspandsp = 6\n"), "{levels}");
    assert!(levels.contains("\ninternals = -1\n"), "{levels}");
    assert_eq!(
        operated.run("set loglevel ice 7"),
        "Success setting loglevel to 7\n"
    );
    assert_eq!(operated.run("list loglevel ice"), "7\n");
    let filter = || operated.books.filter.lock().unwrap().clone();
    assert!(filter().contains("windlass_ice=debug"), "{}", filter());
    assert_eq!(operated.run("params diff"), "log-level-ice: 6 => 7\n");
    assert_eq!(operated.run("params revert"), "");
    assert_eq!(filter(), "info");
    assert_eq!(operated.run("list loglevel ice"), "6\n");
}

#[test]
fn all_levels_step_together_and_are_shown() {
    let operated = Operated::new();
    operated.run("set loglevel ice 7");
    operated.console.step_log_levels(-1).unwrap();
    let shown = |name: &str| operated.run(&format!("list loglevel {name}"));
    assert_eq!((shown("ice"), shown("core")), ("6\n".into(), "4\n".into()));
    let filter = operated.books.filter.lock().unwrap().clone();
    assert!(filter.starts_with("warn,windlass=warn"), "{filter}");
    operated.console.step_log_levels(1).unwrap();
    assert_eq!((shown("ice"), shown("core")), ("7\n".into(), "5\n".into()));
}

#[test]
fn settings_are_compared_with_the_start() {
    let operated = Operated::new();
    let start = operated.run("params start");
    assert!(
        start.contains("\nmax-sessions = -1\ntimeout = 60\n"),
        "{start}"
    );
    assert_eq!(operated.run("params current"), start);
    operated.run("set maxsessions 5");
    operated.run("set maxcpu 50");
    operated.run("set redisallowederrors 3");
    operated.run("set controltos 16");
    assert_eq!(*operated.books.tos.lock().unwrap(), 16);
    assert_eq!(
        operated.run("params diff"),
        "max-sessions: -1 => 5\nmax-cpu: 0.0 => 50.0\ncontrol-tos: 0 => 16\nredis-allowed-errors: -1 => 3\n"
    );
    assert_eq!(operated.run("params start"), start);
    assert_eq!(operated.run("params revert"), "");
    assert_eq!(*operated.books.tos.lock().unwrap(), 0);
    assert_eq!(operated.run("params current"), start);
}
