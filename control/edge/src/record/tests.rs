use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::cdr::{Attempt, Cdr, Leg, Selection};
use super::clock::Wall;
use super::event::{self, Events};
use super::file::{LogFile, Rotation};
use super::security::{Event, Format, Line, SecurityLog};
use super::spool::{Append, Spool};
use super::syslog::Facility;
use super::writer::Writer;
use crate::limits;

/// 2026-02-28 23:59:59.999 UTC.
const LAST_OF_FEBRUARY: Wall = Wall(1_772_323_199_999);

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn line(source: &str, event: Event) -> Line<'static> {
    Line {
        source: source.parse().unwrap(),
        event,
        zone: "public",
        protocol: "UDP",
        action: "drop",
        method: b"INVITE",
        ruri: b"sip:200@example.com",
        from: b"<sip:100@example.com>;tag=1",
        to: b"<sip:200@example.com>",
        user_agent: b"Phone",
        call_id: b"a84b4c",
    }
}

fn logged(line: &Line<'_>, format: Format) -> String {
    let mut out = String::new();
    SecurityLog::new(format, 0).log(line, origin(), LAST_OF_FEBRUARY, &mut out);
    out
}

/// A folder of its own for a test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn times_are_those_of_the_calendar() {
    let shown = |wall: Wall| wall.rfc3339().to_string();
    assert_eq!(shown(Wall(0)), "1970-01-01T00:00:00.000Z");
    assert_eq!(shown(LAST_OF_FEBRUARY), "2026-02-28T23:59:59.999Z");
    assert_eq!(
        shown(Wall(LAST_OF_FEBRUARY.0 + 1)),
        "2026-03-01T00:00:00.000Z"
    );
    assert_eq!(shown(Wall(951_782_400_000)), "2000-02-29T00:00:00.000Z");
    assert_eq!(shown(Wall(4_107_542_400_000)), "2100-03-01T00:00:00.000Z");
    assert_eq!(
        shown(LAST_OF_FEBRUARY.shifted(-7200)),
        "2026-02-28T21:59:59.999Z"
    );
}

#[test]
fn a_line_has_the_form_that_filters_read() {
    assert_eq!(
        logged(&line("192.0.2.1:5060", Event::Scanner), Format::Fields),
        "2026-02-28 23:59:59.999 192.0.2.1:5060 Scanner zone=public proto=UDP method=INVITE \
         action=drop RURI=sip:200@example.com From=<sip:100@example.com>;tag%3D1 \
         To=<sip:200@example.com> UA=Phone Call-ID=a84b4c\n"
    );
    let v6 = logged(&line("[2001:db8::1]:5060", Event::Flood), Format::Fields);
    assert!(v6.contains(" [2001:db8::1]:5060 Flood zone="), "{v6}");
    let mapped = logged(
        &line("[::ffff:192.0.2.1]:5060", Event::Flood),
        Format::Fields,
    );
    assert!(mapped.contains(" 192.0.2.1:5060 Flood zone="), "{mapped}");
    let pipe = logged(&line("[2001:db8::1]:5060", Event::Scanner), Format::Pipe);
    let start = "2026-02-28 23:59:59.999 a84b4c|reject|src_ip=[2001:db8::1],Scanner zone=public ";
    assert!(pipe.starts_with(start), "{pipe}");
    assert_eq!(
        logged(&line("192.0.2.1:5060", Event::Scanner), Format::Json),
        "{\"time\":\"2026-02-28T23:59:59.999Z\",\"src\":\"192.0.2.1:5060\",\"event\":\"Scanner\",\
         \"zone\":\"public\",\"proto\":\"UDP\",\"method\":\"INVITE\",\"action\":\"drop\",\
         \"RURI\":\"sip:200@example.com\",\"From\":\"<sip:100@example.com>;tag%3D1\",\
         \"To\":\"<sip:200@example.com>\",\"UA\":\"Phone\",\"Call-ID\":\"a84b4c\"}\n"
    );
}

#[test]
fn values_cannot_leave_their_place() {
    let evil = b"x\r\n2026-02-28 23:59:59.999 203.0.113.9:5060 Scanner zone=\"|reject|src_ip=[203.0.113.9]\0\xff";
    let out = logged(
        &Line {
            user_agent: evil,
            ..line("192.0.2.1:5060", Event::Scanner)
        },
        Format::Fields,
    );
    assert_eq!(out.matches('\n').count(), 1);
    let value = out.split(" UA=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(value.starts_with(
        "x%0D%0A2026-02-28%2023:59:59.999%20203.0.113.9:5060%20Scanner%20zone%3D%22%7C"
    ));
    assert!(value.len() <= 128);
    for byte in 0..=255_u8 {
        let agent = [b'a', byte, b'z'];
        let out = logged(
            &Line {
                user_agent: &agent,
                ..line("192.0.2.1:5060", Event::Scanner)
            },
            Format::Fields,
        );
        let is_plain = byte.is_ascii_graphic() && !b"\"|[]=".contains(&byte);
        let expected = match is_plain {
            true => format!(" UA=a{}z ", char::from(byte)),
            false => format!(" UA=a%{byte:02X}z "),
        };
        assert!(out.contains(&expected), "{byte}");
    }
}

proptest! {
    #[test]
    fn every_line_is_one_line_of_plain_characters(
        values in vec(vec(any::<u8>(), 0..200), 6),
        format in prop_oneof![Just(Format::Fields), Just(Format::Pipe), Just(Format::Json)],
    ) {
        let line = Line {
            method: &values[0],
            ruri: &values[1],
            from: &values[2],
            to: &values[3],
            user_agent: &values[4],
            call_id: &values[5],
            ..line("192.0.2.1:5060", Event::Scanner)
        };
        let out = logged(&line, format);
        let text = out.strip_suffix('\n').unwrap();
        prop_assert!(text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
        prop_assert!(out.len() <= 1024);
        if format == Format::Fields {
            let fields = text.split(' ').skip(4).map(|field| field.split('=').count());
            prop_assert!(fields.clone().all(|parts| parts == 2));
            prop_assert_eq!(fields.count(), 9);
        }
    }

    #[test]
    fn every_record_is_one_line(call_id in vec(any::<u8>(), 0..50), target in ".*") {
        let target = Some(target);
        let line = Cdr { call_id, target, ..cdr() }.into_line();
        prop_assert_eq!(line.chars().filter(|c| c.is_control()).count(), 1);
        prop_assert_eq!(&line[line.len() - 2..], "}\n");
    }
}

#[test]
fn no_line_is_longer_than_a_kibibyte() {
    let long = vec![0; 9000];
    let zone = "z".repeat(9000);
    for format in [Format::Fields, Format::Pipe, Format::Json] {
        let out = logged(
            &Line {
                zone: &zone,
                method: &long,
                ruri: &long,
                from: &long,
                to: &long,
                user_agent: &long,
                call_id: &long,
                ..line(
                    "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
                    Event::RequestToUnknownDestination,
                )
            },
            format,
        );
        assert!(
            out.len() <= 1024 && out.len() > 800,
            "{format:?} {}",
            out.len()
        );
        // 42 escapes of three bytes; no half one.
        assert!(format == Format::Json || out.contains(&format!(" UA={} ", "%00".repeat(42))));
    }
}

#[test]
fn lines_beyond_ten_a_second_become_one() {
    let t0 = origin();
    let wall = |ms| Wall(LAST_OF_FEBRUARY.0 + ms);
    let at = |ms| t0 + Duration::from_millis(ms);
    let mut log = SecurityLog::new(Format::Fields, 0);
    let mut out = String::new();
    for n in 0..1000 {
        log.log(
            &line("192.0.2.1:5060", Event::Scanner),
            at(n / 2),
            wall(n / 2),
            &mut out,
        );
    }
    assert_eq!(out.lines().count(), 10);
    // Another address and another event have their own ten.
    log.log(
        &line("192.0.2.2:5060", Event::Scanner),
        at(500),
        wall(500),
        &mut out,
    );
    log.log(
        &line("192.0.2.1:5060", Event::Flood),
        at(500),
        wall(500),
        &mut out,
    );
    assert_eq!(out.lines().count(), 12);
    log.handle_timeout(at(999), wall(999), &mut out);
    assert_eq!(out.lines().count(), 12);
    log.handle_timeout(at(1000), wall(1000), &mut out);
    let last = out.lines().last().unwrap();
    assert_eq!(
        last,
        "2026-03-01 00:00:00.999 192.0.2.1:5060 Scanner zone=public proto=UDP repeated=990"
    );
    log.handle_timeout(at(5000), wall(5000), &mut out);
    assert_eq!(out.lines().count(), 13, "told once");
    // Without a timer, the next line tells.
    for n in 0..15 {
        log.log(
            &line("192.0.2.1:5060", Event::Scanner),
            at(6000 + n),
            wall(0),
            &mut out,
        );
    }
    out.clear();
    log.log(
        &line("192.0.2.1:5060", Event::Scanner),
        at(9000),
        wall(0),
        &mut out,
    );
    assert_eq!(out.lines().count(), 2);
    assert!(out.lines().next().unwrap().ends_with(" repeated=5"));
    out.clear();
    log.handle_timeout(at(20_000), wall(0), &mut out);
    assert_eq!(out, "");
}

/// Addresses that fail2ban takes from a log, with a filter from a file or an expression.
fn banned_by_fail2ban(log: &Path, filter: &str) -> Vec<String> {
    let mut command = Command::new("fail2ban-regex");
    command.args(["-o", "ip"]);
    // The shipped file names its own.
    if !filter.ends_with(".conf") {
        command.args(["-d", "^%Y-%m-%d %H:%M:%S(?:\\.%f)?"]);
    }
    let output = command.arg(log).arg(filter).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().map(str::to_owned).collect()
}

/// What attackers write where they hope that it is read as an address, an event or a line.
const INJECTIONS: [&[u8]; 9] = [
    b"x\r\n2026-02-28 23:59:59.999 203.0.113.9:5060 Scanner zone=public",
    b"x\n203.0.113.9:5060 Scanner zone=",
    b"203.0.113.9:5060 Scanner zone=public",
    b"|reject|src_ip=[203.0.113.9],Scanner",
    b"a|reject|src_ip=[203.0.113.9]",
    b"[203.0.113.9]:5060 Invite_from_unknown_source zone=",
    b"203.0.113.9 Invite_from_unknown_source",
    b"\" 203.0.113.9 Auth_Failures \"",
    &[b'A'; 5000],
];

#[test]
#[ignore = "needs fail2ban-regex of the package fail2ban"]
fn e20_fail2ban_takes_true_sources_alone() {
    let folder = Folder::new("fail2ban");
    let shipped =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/fail2ban/windlass-edge.conf");
    let classic = "<HOST>.*Invite_from_unknown.*$";
    let bracketed = r"\|reject\|src_ip=\[<HOST>\],(?:Scanner|Invite_from_unknown)";
    let filters = [
        (Format::Fields, shipped.to_str().unwrap(), Event::Scanner),
        (Format::Fields, classic, Event::InviteFromUnknownSource),
        (Format::Pipe, bracketed, Event::Scanner),
    ];
    for (format, filter, event) in filters {
        // Every place of every line, and an event that no filter takes.
        let mut text = String::new();
        let mut expected = Vec::new();
        for (n, evil) in (1..).zip(INJECTIONS) {
            for (source, event) in [
                (format!("192.0.2.{n}:5060"), event),
                (format!("[2001:db8::{n}]:5060"), event),
                (format!("198.51.100.{n}:5060"), Event::MethodDenied),
            ] {
                let line = Line {
                    method: evil,
                    ruri: evil,
                    from: evil,
                    to: evil,
                    user_agent: evil,
                    call_id: evil,
                    ..line(&source, event)
                };
                text.push_str(&logged(&line, format));
                if event != Event::MethodDenied {
                    let ip = line.source.ip();
                    expected.push(ip.to_string());
                }
            }
        }
        let log = folder.0.join("security.log");
        fs::write(&log, text).unwrap();
        let found = banned_by_fail2ban(&log, filter);
        if filter == classic {
            // It is not anchored, so it takes the true source of other events as well. Never
            // another.
            let others = found.iter().filter(|ip| !expected.contains(ip));
            assert!(
                others.clone().all(|ip| ip.starts_with("198.51.100.")),
                "{found:?}"
            );
            assert!(expected.iter().all(|ip| found.contains(ip)), "{found:?}");
        } else {
            assert_eq!(found, expected, "{filter}");
        }
    }
}

fn cdr() -> Cdr {
    Cdr {
        id: "0.1f".to_owned(),
        call_id: b"a84b4c\"\n\xff".to_vec(),
        from_tag: b"1".to_vec(),
        to_tag: b"2".to_vec(),
        caller: b"sip:100@example.com".to_vec(),
        callee: b"sip:200@example.com".to_vec(),
        ruri: b"sip:200@example.com".to_vec(),
        src: Some("192.0.2.1:5060".parse().unwrap()),
        zone_in: "public".to_owned(),
        zone_out: "core".to_owned(),
        user: b"100@example.com".to_vec(),
        target: Some("sip:10.0.0.22:5060".to_owned()),
        attempts: vec![Attempt {
            target: "sip:10.0.0.21:5060".to_owned(),
            start: Wall(0),
            code: 503,
            reason: "Service Unavailable".to_owned(),
        }],
        setup: Wall(1000),
        answer: Some(Wall(3000)),
        end: Wall(63_500),
        code: 200,
        reason: b"OK".to_vec(),
        q850: Some(16),
        codecs: vec!["PCMA".to_owned(), "telephone-event".to_owned()],
        media: vec![Leg {
            side: "caller",
            packets: 3000,
            loss: 3,
            jitter_ms: 1.25,
            mos: Some(4.4),
        }],
        flags: vec!["hidden"],
        ..Cdr::default()
    }
}

#[test]
fn a_record_is_one_json_line_with_all_fields() {
    let expected = concat!(
        r#"{"id":"0.1f","call_id":"a84b4c\"\n"#,
        "\u{fffd}",
        r#"","from_tag":"1","to_tag":"2","caller":"sip:100@example.com","#,
        r#""callee":"sip:200@example.com","ruri":"sip:200@example.com","src":"192.0.2.1:5060","#,
        r#""zone_in":"public","zone_out":"core","user":"100@example.com","peer":null,"#,
        r#""target":"sip:10.0.0.22:5060","attempts":[{"target":"sip:10.0.0.21:5060","#,
        r#""start":"1970-01-01T00:00:00.000Z","code":503,"reason":"Service Unavailable"}],"#,
        r#""setup":"1970-01-01T00:00:01.000Z","answer":"1970-01-01T00:00:03.000Z","#,
        r#""end":"1970-01-01T00:01:03.500Z","duration_ms":60500,"code":200,"reason":"OK","#,
        r#""ended_by":"caller","cause":null,"q850":16,"codecs":["PCMA","telephone-event"],"#,
        r#""media":{"caller":{"packets":3000,"loss":3,"jitter_ms":1.250,"mos":4.400}},"#,
        r#""flags":["hidden"]}"#,
        "\n"
    );
    assert_eq!(cdr().into_line(), expected);
}

#[test]
fn attempts_are_selected_by_kind() {
    let unanswered = |code| Cdr {
        answer: None,
        code,
        ..cdr()
    };
    assert_eq!(unanswered(487).duration_ms(), 0);
    let none = Selection {
        missed: false,
        failed: false,
    };
    let missed = Selection {
        missed: true,
        ..none
    };
    assert!(none.takes(&cdr()));
    assert!(!none.takes(&unanswered(487)) && !none.takes(&unanswered(503)));
    assert!(missed.takes(&unanswered(487)) && !missed.takes(&unanswered(503)));
    assert!(Selection::default().takes(&unanswered(503)));
}

/// A place that can be full.
#[derive(Debug, Default)]
struct Place {
    room: usize,
    lines: Vec<String>,
}

impl Append for Place {
    fn append(&mut self, line: &[u8], _at: Wall) -> io::Result<()> {
        if self.lines.len() >= self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.lines.push(String::from_utf8_lossy(line).into_owned());
        Ok(())
    }

    /// Somebody made room.
    fn reopen(&mut self) -> io::Result<()> {
        self.room += 5;
        Ok(())
    }
}

#[test]
fn a_full_disk_keeps_lines_waiting_and_loses_the_oldest() {
    let place = Place {
        room: 2,
        ..Place::default()
    };
    let mut spool = Spool::new(place, 50);
    for n in 0..12 {
        spool.append(format!("{n:010}").into_bytes(), Wall(0));
    }
    assert_eq!((spool.waiting(), spool.lost()), (5, 5));
    spool.reopen().unwrap();
    assert_eq!((spool.waiting(), spool.lost()), (0, 5));
    spool.append(b"end".to_vec(), Wall(0));
    assert_eq!(spool.waiting(), 1);
    spool.reopen().unwrap();
    let lines: Vec<_> = spool
        .place()
        .lines
        .iter()
        .map(|l| l.trim_start_matches('0'))
        .collect();
    assert_eq!(lines, ["", "1", "7", "8", "9", "10", "11", "end"]);
}

#[test]
fn files_move_aside_by_size_and_day() {
    let folder = Folder::new("rotation");
    let path = folder.0.join("cdr.jsonl");
    let rotation = Rotation {
        bytes: Some(20),
        daily: true,
    };
    let mut file = LogFile::open(&path, rotation).unwrap();
    for (text, ms) in [
        ("1234567890\n", 0),
        ("abc\n", 0),
        ("1234567890\n", 0),
        ("next\n", 1),
    ] {
        let at = Wall(LAST_OF_FEBRUARY.0 + ms);
        file.append(text.as_bytes(), at).unwrap();
    }
    let read = |name: &str| fs::read_to_string(folder.0.join(name)).unwrap();
    assert_eq!(read("cdr.jsonl.2026-02-28"), "1234567890\nabc\n");
    assert_eq!(read("cdr.jsonl.2026-02-28.2"), "1234567890\n");
    assert_eq!(read("cdr.jsonl"), "next\n");
    // It goes on where it was.
    drop(file);
    let mut file = LogFile::open(&path, Rotation::default()).unwrap();
    file.append(b"more\n", LAST_OF_FEBRUARY).unwrap();
    assert_eq!(read("cdr.jsonl"), "next\nmore\n");
}

#[test]
fn a_writer_follows_its_file_and_ends_with_everything_written() {
    let folder = Folder::new("writer");
    let path = folder.0.join("security.log");
    let writer = Writer::open(&path, Rotation::default()).unwrap();
    writer.write("one\n", Wall(0));
    writer.flush(Duration::from_secs(10));
    fs::rename(&path, folder.0.join("moved")).unwrap();
    writer.write("two\n", Wall(0));
    writer.reopen();
    writer.write("three\n", Wall(0));
    drop(writer);
    assert_eq!(
        fs::read_to_string(folder.0.join("moved")).unwrap(),
        "one\ntwo\n"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    assert!(Writer::open(&folder.0.join("no/such/folder"), Rotation::default()).is_err());
}

#[test]
fn the_system_log_gets_a_datagram_per_line_and_may_start_anew() {
    let folder = Folder::new("syslog");
    let path = folder.0.join("log");
    let receive = |daemon: &UnixDatagram| {
        let mut bytes = [0; 100];
        let length = daemon.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let daemon = UnixDatagram::bind(&path).unwrap();
    let writer = Writer::syslog(&path, Facility::Local(0)).unwrap();
    writer.write("one\ntwo\n", Wall(0));
    assert_eq!(receive(&daemon), "<132>windlass-edge: one");
    assert_eq!(receive(&daemon), "<132>windlass-edge: two");
    drop(daemon);
    writer.write("three\n", Wall(0));
    writer.flush(Duration::from_secs(10));
    assert_eq!(writer.waiting(), 1);
    fs::remove_file(&path).unwrap();
    let daemon = UnixDatagram::bind(&path).unwrap();
    writer.write("four\n", Wall(0));
    assert_eq!(receive(&daemon), "<132>windlass-edge: three");
    assert_eq!(receive(&daemon), "<132>windlass-edge: four");
}

#[test]
fn a_full_disk_is_seen_and_holds_nobody_up() {
    let full = Path::new("/dev/full");
    let writer = Writer::open(full, Rotation::default()).unwrap();
    for _ in 0..10 {
        writer.write("x\n", Wall(0));
    }
    writer.flush(Duration::from_secs(10));
    assert_eq!((writer.waiting(), writer.lost()), (10, 0));
}

#[test]
fn events_are_told_to_listeners_and_the_slow_lose_the_oldest() {
    let events = Events::default();
    let ban = |refused| event::Event::Unban {
        ip: "192.0.2.1".parse().unwrap(),
        port: None,
        refused,
    };
    events.tell(Wall(0), ban(0));
    let mut listener = events.listen();
    for n in 0..=u32::try_from(limits::QUEUED_EVENTS).unwrap() {
        events.tell(Wall(0), ban(n));
    }
    let lagged = listener.try_recv().unwrap_err();
    let expected = tokio::sync::broadcast::error::TryRecvError::Lagged(1);
    assert_eq!(lagged, expected);
    assert_eq!(listener.try_recv().unwrap().event, ban(1));
    assert_eq!(
        ban(7).to_json(Wall(0)),
        r#"{"time":"1970-01-01T00:00:00.000Z","event":"unban","ip":"192.0.2.1","refused":7}"#
    );
    let source: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
    let limit = event::Event::Limit {
        class: "per-user".to_owned(),
        user: b"100".to_vec(),
        source,
    };
    assert_eq!(
        limit.to_json(Wall(0)),
        r#"{"time":"1970-01-01T00:00:00.000Z","event":"limit","class":"per-user","user":"100","source":"[2001:db8::1]:5060"}"#
    );
}
