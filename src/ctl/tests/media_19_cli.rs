//! media-behaviour §19: the table of commands, row by row. What a value does is tested in
//! `settings`, what statistics hold in `statistics`.

use super::*;
use crate::observe::levels;

/// The lines of an output.
#[track_caller]
fn assert_lines(operated: &Operated, command: &str, expected: &[&str]) {
    let mut text = expected.join("\n");
    text.push('\n');
    assert_eq!(operated.run(command), text, "{command}");
}

/// A line of `list sessions all`.
fn session(id: &str, deleted: char, foreign: char) -> String {
    format!(
        "ID: {id:>60} | del:{deleted} | creat:  1700000000 | prx:127.0.0.1:2222 | redis:-1 \
         | frgn:{foreign} | rec:n\n"
    )
}

#[test]
fn list_and_get_are_the_same() {
    let operated = Operated::with_call();
    for what in [
        "numsessions",
        "sessions all",
        "sessions call",
        "interfaces",
        "jsonstats",
        "totals",
        "transcoders",
        "loglevels",
        "loglevel",
        "timeout",
        "maxsessions",
    ] {
        let printed = operated.run(&format!("list {what}"));
        assert_eq!(operated.run(&format!("get {what}")), printed, "{what}");
    }
}

#[test]
fn values_have_their_words_and_defaults() {
    let operated = Operated::new();
    for (name, expected) in [
        ("timeout", "TIMEOUT=60"),
        ("silenttimeout", "SILENT_TIMEOUT=3600"),
        ("offertimeout", "OFFER_TIMEOUT=3600"),
        // That of the fixture; there is none by default.
        ("finaltimeout", "FINAL_TIMEOUT=36000"),
        (
            "maxsessions",
            "Maximum sessions configured on rtpengine: -1",
        ),
        ("maxcpu", "Maximum CPU usage configured on rtpengine: 0.0"),
        (
            "maxload",
            "Maximum load average configured on rtpengine: 0.00",
        ),
        ("maxbw", "Maximum bandwidth configured on rtpengine: 0"),
        (
            "maxopenfiles",
            "Maximum open-files configured on rtpengine: 0; cat /proc/4711/limits",
        ),
        ("controltos", "0"),
        ("deletedelay", "30"),
        ("redisallowederrors", "-1"),
        ("redisdisabletime", "10"),
        ("redisconnecttimeout", "1000"),
        ("rediscmdtimeout", "0"),
        ("transcoders", "No stats entries"),
    ] {
        assert_lines(&operated, &format!("list {name}"), &[expected]);
    }
}

#[test]
fn every_subsystem_has_a_description_and_a_level() {
    let operated = Operated::new();
    let names = "core spandsp ffmpeg transcoding codec rtcp ice crypto srtp internals http control \
                 dtx";
    let names: Vec<&str> = names.split(' ').collect();
    let printed = operated.run("list loglevels");
    let described = printed.lines().map(|line| line.split_once(" - ").unwrap());
    assert!(described.clone().all(|(_, text)| !text.is_empty()));
    let described: Vec<&str> = described.map(|(name, _)| name).collect();
    assert_eq!(described, names);
    let expected = names.iter().map(|name| match *name {
        "internals" => "internals = -1\n".to_owned(),
        name => format!("{name} = 6\n"),
    });
    assert_eq!(operated.run("list loglevel"), expected.collect::<String>());
    assert_lines(&operated, "list loglevel core", &["6"]);
    assert_eq!(levels::descriptions(), printed);
}

#[test]
fn sessions_are_told_apart() {
    let operated = Operated::with_call();
    for (lines, expected) in [
        (&["all", "own"][..], session("call", 'n', 'n')),
        (
            &["foreign"][..],
            "No foreign sessions on this media relay.\n".to_owned(),
        ),
    ] {
        for whose in lines {
            let printed = operated.run(&format!("list sessions {whose}"));
            assert_eq!(printed, expected, "{whose}");
        }
    }
    operated.run("standby");
    for (whose, expected) in [
        ("all", session("call", 'n', 'y')),
        ("foreign", session("call", 'n', 'y')),
        ("own", "No own sessions on this media relay.\n".to_owned()),
    ] {
        let printed = operated.run(&format!("list sessions {whose}"));
        assert_eq!(printed, expected, "{whose}");
    }
    let none = Operated::new();
    assert_lines(
        &none,
        "list sessions all",
        &["No sessions on this media relay."],
    );
    assert_lines(
        &none,
        "list sessions nope",
        &["", "Call ID not found (nope).", ""],
    );
}

#[test]
fn standby_leaves_the_calls_and_active_takes_them() {
    let operated = Operated::with_call();
    let counted = |own, foreign| {
        let lines = operated.run("list numsessions");
        let start = format!(
            "Current sessions own: {own}\nCurrent sessions foreign: {foreign}\n\
             Current sessions total: 1\nCurrent transcoded media: 0\n\
             Current sessions ipv4 only media: 1\nCurrent sessions ipv6 only media: 0\n\
             Current sessions ip mixed  media: 0\n"
        );
        assert_eq!(lines, start);
        let totals = operated.run("list totals");
        for (what, count) in [("Owned", own), ("Foreign", foreign), ("Total", 1)] {
            let line = format!("\n {:<48}:{count}\n", format!("{what} sessions"));
            assert!(totals.contains(&line), "{line}{totals}");
        }
        let word = if foreign > 0 { "yes" } else { "no" };
        let info = operated.run("call call info");
        assert!(info.contains(&format!("\nforeign: {word}\n")), "{info}");
    };
    let [foreign, own] = [
        "Ok, all calls set to 'foreign (standby)'",
        "Ok, all calls set to 'owned (active)'",
    ];
    counted(1, 0);
    for _ in 0..2 {
        assert_lines(&operated, "standby", &[foreign]);
        counted(0, 1);
    }
    operated.run("terminate own");
    counted(0, 1);
    for _ in 0..2 {
        assert_lines(&operated, "active", &[own]);
        counted(1, 0);
    }
    operated.run("terminate foreign");
    counted(1, 0);
    operated.run("standby");
    operated.run("terminate foreign");
    assert_eq!(operated.bench.calls.count(), 0);
    assert_eq!(operated.bench.calls.foreign_count(), 0);
}

#[test]
fn settings_are_confirmed_or_refused() {
    let operated = Operated::new();
    for (line, expected) in [
        ("set maxsessions 5", "Success setting maxsessions to 5"),
        (
            "set maxsessions -1",
            "Success setting maxsessions to -1; disable feature",
        ),
        (
            "set timeout abc",
            "Fail setting timeout to abc; no digits found",
        ),
        ("set redisdisable 0", "No redis write to disable"),
        ("set redisdisable 1", "No redis write to disable"),
        ("set loglevel 7", "Success setting loglevel to 7"),
        ("set loglevel core 5", "Success setting loglevel to 5"),
        ("set deletedelay 5", "Success setting delete-delay to 5"),
        ("set deletedelay x", "Invalid delete-delay value"),
    ] {
        assert_lines(&operated, line, &[expected]);
    }
    // Every name that can be set can be shown, and is named in `params`.
    for (name, value) in [
        ("maxopenfiles", "70000"),
        ("maxsessions", "6"),
        ("maxcpu", "50"),
        ("maxload", "3"),
        ("maxbw", "100"),
        ("timeout", "61"),
        ("silenttimeout", "62"),
        ("offertimeout", "63"),
        ("finaltimeout", "64"),
        ("controltos", "16"),
        ("deletedelay", "6"),
        ("redisallowederrors", "7"),
        ("redisdisabletime", "8"),
        ("redisconnecttimeout", "9"),
        ("rediscmdtimeout", "10"),
    ] {
        let set = operated.run(&format!("set {name} {value}"));
        assert!(set.starts_with("Success setting "), "{name}: {set}");
        let shown = operated.run(&format!("list {name}"));
        assert!(shown.contains(value), "{name}: {shown}");
    }
    let changed = operated.run("params diff");
    for line in [
        "max-sessions: -1 => 6",
        "max-cpu: 0.0 => 50.0",
        "max-load: 0.00 => 3.00",
        "max-bandwidth: 0 => 100",
        "timeout: 60 => 61",
        "silent-timeout: 3600 => 62",
        "offer-timeout: 3600 => 63",
        "final-timeout: 36000 => 64",
        "control-tos: 0 => 16",
        "delete-delay: 30 => 6",
        "redis-allowed-errors: -1 => 7",
        "redis-disable-time: 10 => 8",
        "redis-connect-timeout: 1000 => 9",
        "redis-cmd-timeout: 0 => 10",
        "log-level-core: 6 => 5",
        "log-level-ice: 6 => 7",
    ] {
        assert!(
            changed.lines().any(|found| found == line),
            "{line}: {changed}"
        );
    }
    operated.run("params revert");
    assert_eq!(operated.run("params diff"), "");
}

#[test]
fn calls_are_ended_and_debugged_by_their_ids() {
    for (line, expected) in [
        (
            "terminate call",
            "\nCall Id (call) successfully terminated by operator.\n\n",
        ),
        ("terminate nope", "\nCall Id not found (nope).\n\n"),
        ("call call terminate", "\nCall 'call' terminated.\n\n"),
        ("call nope terminate", "No such call 'nope'\n"),
        ("call nope", "No such call 'nope'\n"),
        ("call call debug", "Enabled debugging for call 'call'\n"),
        ("call call debug on", "Enabled debugging for call 'call'\n"),
        (
            "call call debug off",
            "Disabled debugging for call 'call'\n",
        ),
        (
            "call call debug maybe",
            "Invalid on/off flag ('maybe') specified\n",
        ),
        ("debug call", "Enabled debugging for call 'call'\n"),
        ("debug call on", "Enabled debugging for call 'call'\n"),
        ("debug call off", "Disabled debugging for call 'call'\n"),
        ("debug call 1", "Invalid on/off flag ('1') specified\n"),
        ("debug nope on", "Call ID 'nope' not found\n"),
        ("debug", "No call ID specified\n"),
        ("call call tag X info", "No such tag 'X'\n"),
        ("call call tag F delay 0", "Setting delay to 0\n"),
        (
            "call call tag F detect-dtmf 0",
            "Disabling audio DTMF detection\n",
        ),
    ] {
        assert_eq!(Operated::with_call().run(line), expected, "{line}");
    }
}

#[test]
fn those_who_may_not_read_reach_no_call_that_they_cannot_name() {
    let operated = Operated::with_call();
    let run = |line: &str| operated.run_as(Role::Stranger, line);
    for line in [
        "list sessions all",
        "list sessions own",
        "list sessions foreign",
        "terminate all",
        "terminate own",
        "terminate foreign",
        "active",
        "standby",
        "set finaltimeout 1",
        "set maxsessions 0",
        "set timeout 1",
        "set loglevel 8",
        "set controltos 46",
        "set redisdisable 1",
        "params start",
        "params current",
        "params diff",
        "params revert",
        "ksadd 1",
        "ksrm 1",
        "kslist",
        "media add file /etc/passwd",
        "media evict players",
        "a command of tomorrow",
    ] {
        assert!(run(line).contains("--control-read"), "{line}");
    }
    for line in [
        "list maxsessions",
        "get timeout",
        "call call info",
        "debug call",
        "help",
    ] {
        assert_eq!(run(line), operated.run(line), "{line}");
    }
    assert_eq!(operated.run("params diff"), "");
    let calls = &operated.bench.calls;
    assert_eq!((calls.own_count(), calls.count()), (1, 1));
    let done = "\nCall Id (call) successfully terminated by operator.\n\n";
    assert_eq!(run("terminate call"), done);
}

#[test]
fn parameters_are_lines_of_name_and_value_without_secrets() {
    let mut config = Config::default();
    config.redis.read = "hunter2@192.0.2.9:6379/1".parse().ok();
    config.redis.write = "hunter2@192.0.2.9:6379/2".parse().ok();
    config.redis.subscribe = "hunter2@192.0.2.9:6379/3".parse().ok();
    config.mqtt.password = "hunter2".parse().ok();
    let bench = Bench::new();
    let console = Console::new(&config, Arc::new(Books::default()), &bench.calls);
    for line in ["params start", "params current"] {
        let printed = console.run(&bench.calls, line, Role::Reader, bench.now);
        assert!(
            printed.lines().all(|line| line.contains(" = ")),
            "{printed}"
        );
        assert!(
            printed.contains("\nredis = …@192.0.2.9:6379/1\n"),
            "{printed}"
        );
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn help_names_every_command() {
    let operated = Operated::new();
    let help = operated.run("help");
    assert_eq!(operated.run("usage"), help);
    for words in [
        "list|get numsessions",
        "sessions all|own|foreign",
        "totals",
        "counters",
        "interfaces",
        "jsonstats",
        "transcoders",
        "maxopenfiles",
        "offertimeout",
        "redisconnecttimeout",
        "loglevels loglevel",
        "set NAME VALUE",
        "set loglevel [SUBSYSTEM] N",
        "set redisdisable 0|1",
        "terminate CALLID|all|own|foreign",
        "call CALLID info|terminate",
        "tag TAG delay MS",
        "detect-dtmf [0|1]",
        "params start|current|diff|revert",
        "ksadd N | ksrm N | kslist",
        "active | standby",
        "media list files|dbs|caches|players",
        "media evict",
    ] {
        assert!(help.contains(words), "{words}");
    }
}
