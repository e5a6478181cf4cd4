//! rtpengine's command lines and files become configurations, or are refused with a reason.

mod imports;
mod media_01_interfaces;
mod media_20_options;
mod table;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use windlass_ng::Rule;

use super::*;
use crate::config::access::allow;
use crate::config::names::LocalInterface;
use crate::config::{Flags, PortRange};

/// A host with two interfaces, whose DNS knows one name.
fn names() -> Names {
    let interface = |name: &str, address: &str| LocalInterface {
        name: name.to_owned(),
        address: address.parse().unwrap(),
    };
    Names::new(
        vec![
            interface("lo", "127.0.0.1"),
            interface("eth0", "192.0.2.7"),
            interface("eth0", "2001:db8::7"),
            interface("eth1", "198.51.100.7"),
        ],
        |name| match name {
            "media.example.com" => vec![[203, 0, 113, 7].into()],
            _ => Vec::new(),
        },
    )
}

/// A file that is gone with the value.
struct TestFile(PathBuf);

impl TestFile {
    fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "windlass-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn read_with(text: &str, arguments: &[&str]) -> Result<Request, String> {
    let file = TestFile::new(text);
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    let read = read(&arguments, &file.0, &names());
    read.map_err(|error| error.to_string().replace(file.0.to_str().unwrap(), "FILE"))
}

fn run_of(text: &str, arguments: &[&str]) -> Result<Run, String> {
    match read_with(text, arguments)? {
        Request::Run(run) => Ok(*run),
        Request::Print(text) => panic!("printed {text}"),
    }
}

fn read_line(arguments: &[&str]) -> Result<Run, String> {
    run_of("", arguments)
}

#[track_caller]
fn config_of(text: &str, arguments: &[&str]) -> Config {
    run_of(text, arguments).unwrap().config
}

const MINIMAL: [&str; 3] = ["-f", "-i192.0.2.1", "-n127.0.0.1:2223"];

/// Refused, each problem with these words in it.
#[track_caller]
fn assert_refused(text: &str, arguments: &[&str], expected: &[&str]) {
    let arguments = [&MINIMAL[..], arguments].concat();
    let found = run_of(text, &arguments).unwrap_err();
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{found}");
    for (line, words) in lines.iter().zip(expected) {
        assert!(line.contains(words), "{line} lacks {words}");
    }
}

/// Without what a process under rtpengine's name does although nobody said it: a file alone does
/// not say how its process is started.
fn without_habits(mut config: Config) -> Config {
    config.log.format = crate::config::LogFormat::Human;
    config.syslog.engine = false;
    config.process.background = false;
    if config.syslog.name == "rtpengine" {
        config.syslog.name = "windlass".to_owned();
    }
    let id = &mut config.signalling.software_id;
    if id.starts_with("rtpengine-windlass-") {
        *id = id.replacen("rtpengine-", "", 1);
    }
    config
}

#[test]
fn usual_command_line_starts() {
    let run = read_line(&[
        "-f", "-E", "-L", "7", "-t", "-1", "-i", "eth1", "-n", "22222",
    ])
    .unwrap();
    assert_eq!(run.config.log.level, "debug");
    assert_eq!(run.config.interfaces[0].address.to_string(), "198.51.100.7");
    let ng: Vec<String> = run.config.ng.udp.iter().map(ToString::to_string).collect();
    assert_eq!(ng, ["0.0.0.0:22222", "[::]:22222"]);
    assert_eq!(run.config.media, crate::config::Media::default());
    assert_eq!(
        run.warnings.len(),
        1,
        "only who is answered: {:?}",
        run.warnings
    );
}

#[test]
fn absent_options_have_the_defaults() {
    let config = read_line(&MINIMAL).unwrap().config;
    let expected = Config {
        interfaces: config.interfaces.clone(),
        ..Config::default()
    };
    assert_eq!(without_habits(config), expected);
}

#[test]
fn command_line_overrides_the_file() {
    let text = "[rtpengine]\ninterface = a/192.0.2.1;b/192.0.2.2\nlisten-ng = 127.0.0.1:1\n\
                timeout = 20\nforeground = true\nrecord-both = true\n";
    let config = config_of(
        text,
        &["--interface=192.0.2.3", "-o", "40", "--record-both=false"],
    );
    assert_eq!(config.interfaces.len(), 1);
    assert_eq!(config.interfaces[0].name, "default");
    assert_eq!(config.timeouts.media.as_secs(), 40);
    assert!(!config.recording.both);
    let unchanged = config_of(text, &[]);
    assert_eq!(unchanged.interfaces.len(), 2);
    assert_eq!(unchanged.ng.udp[0].port(), 1);
}

#[test]
fn of_options_given_twice_the_last_counts() {
    let more = [
        "-f",
        "-E",
        "-E",
        "--pidfile=/a",
        "-p",
        "/b",
        "--log-name=x",
        "--log-name=y",
    ];
    let config = read_line(&[&MINIMAL[..], &more].concat()).unwrap().config;
    assert_eq!(config.process.pidfile.as_deref(), Some("/b"));
    assert_eq!(config.syslog.name, "y");
    assert!(!config.process.background && !config.syslog.engine);
}

#[test]
fn file_and_section_can_be_chosen() {
    let file = TestFile::new("[x]\ninterface=192.0.2.9\nlisten-ng=127.0.0.1:7\n");
    let path = file.0.to_str().unwrap();
    let config = config_of("", &["--config-file", path, "--config-section=x"]);
    assert_eq!(config.ng.udp[0].port(), 7);
    let broken = "[rtpengine]\ntimeout = x\n";
    assert!(run_of(broken, &MINIMAL).is_err());
    let none = run_of(broken, &[&MINIMAL[..], &["--config-file=none"]].concat());
    assert!(none.is_ok());
    let default = Path::new("/nonexistent/rtpengine.conf");
    let minimal = MINIMAL.map(str::to_owned);
    assert!(read(&minimal, default, &names()).is_ok());
    assert_refused(
        "",
        &["--config-file=/nonexistent"],
        &["argument 4: config-file /nonexistent"],
    );
    assert_refused("[a]\n", &["--config-section=b"], &["no such section"]);
}

#[test]
fn contradictions_name_option_value_and_place() {
    assert_refused(
        "",
        &["-m40000", "-M", "30000"],
        &["argument 4: `port-min` 40000 is above `port-max` 30000"],
    );
    assert_refused(
        "[rtpengine]\n\ndelete-delay = -1\n",
        &[],
        &["FILE:3:1: `delete-delay` is \"-1\", expected 0 or more"],
    );
    assert_refused(
        "",
        &["--timeout=60s", "--max-sessions=many", "--max-cpu=x"],
        &[
            "argument 4: `timeout` is \"60s\", expected a whole number",
            "argument 5: `max-sessions` is \"many\"",
            "argument 6: `max-cpu` is \"x\", expected a number",
        ],
    );
    assert_refused(
        "",
        &["--poller-size=x", "--foreground=maybe", "--tos=256"],
        &[
            "`poller-size` is \"x\"",
            "`foreground` is \"maybe\", expected true or false",
            "`tos` is \"256\", expected a whole number from 0 to 255",
        ],
    );
    assert_refused(
        "",
        &["--dtls-mtu=500", "--mos=XQ", "--endpoint-learning=fast"],
        &[
            "`dtls-mtu` is \"500\", expected a whole number from 576",
            "`mos` is \"XQ\"",
            "`endpoint-learning` is \"fast\", expected one of guarded, heuristic",
        ],
    );
    assert_refused(
        "",
        &[
            "--listen-ng=somewhere",
            "--redis=x",
            "--listen-https=127.0.0.1:4",
        ],
        &[
            "argument 4: `listen-ng` is \"somewhere\", expected [IP:]PORT",
            "argument 5: `redis` is \"x\", expected a database",
            "argument 6: `listen-https` is \"127.0.0.1:4\", expected `https-cert`",
        ],
    );
    assert_refused(
        "[rtpengine]\nnonsense\n",
        &["--templates=x"],
        &[
            "argument 4: `templates` is \"x\"",
            "FILE:2:1: `nonsense` is no `key = value`",
        ],
    );
}

#[test]
fn passwords_are_not_shown() {
    let found = run_of("", &[&MINIMAL[..], &["--redis=hunter2@redis"]].concat()).unwrap_err();
    assert!(found.contains("`redis` is \"…@redis\""), "{found}");
}

#[test]
fn without_interface_or_listener_nothing_starts() {
    let found = read_line(&["-n", "2223"]).unwrap_err();
    assert!(found.contains("no `interface`"), "{found}");
    let found = read_line(&["-i", "192.0.2.1", "-c", "2224"]).unwrap_err();
    assert!(found.contains("no control listener"), "{found}");
    let found = read_line(&["-i", "192.0.2.1", "-u", "2224"]).unwrap_err();
    assert!(found.contains("old protocols"), "{found}");
    assert!(read_line(&["-i", "192.0.2.1", "--listen-http=127.0.0.1:8"]).is_ok());
}

#[test]
fn values_that_mean_the_default_are_taken() {
    let config = config_of(
        "[rtpengine]\ntimeout=0\nsilent-timeout=-1\nfinal-timeout=0\nmax-sessions=-1\nmax-load=0\n\
         num-threads=0\nrtcp-interval=0\noffer-timeout=999999999999\n",
        &MINIMAL,
    );
    let defaults = Config::default();
    assert_eq!(config.timeouts.media, defaults.timeouts.media);
    assert_eq!(config.timeouts.silent, defaults.timeouts.silent);
    assert_eq!(config.timeouts.final_limit, None);
    assert_eq!(config.timeouts.offer.as_secs(), 31_536_000);
    assert_eq!(config.limits, defaults.limits);
    assert_eq!(config.workers, None);
    assert_eq!(config.quality, defaults.quality);
    assert_eq!(
        config_of("", &[&MINIMAL[..], &["-T", "0xb8"]].concat())
            .media
            .tos,
        184
    );
}

#[test]
fn interfaces_are_addresses_names_and_aliases() {
    let arguments = ["-n", "127.0.0.1:2223", "-i", "ext/eth0!media.example.com"];
    let more = [
        "-i",
        "int/198.51.100.7",
        "-i",
        "private=int",
        "-i",
        "pool:1/any",
    ];
    let config = config_of(
        "",
        &[&arguments[..], &more, &["-i", "pool:2/192.0.2.7"]].concat(),
    );
    let ext: Vec<String> = config
        .logical("ext")
        .map(|i| format!("{} as {}", i.address, i.advertised()))
        .collect();
    assert_eq!(
        ext,
        ["192.0.2.7 as 203.0.113.7", "2001:db8::7 as 2001:db8::7"]
    );
    assert_eq!(config.logical("private").count(), 1);
    assert_eq!(config.logical("pool:1").count(), 3);
    assert_eq!(config.round_robin("pool"), ["pool:1", "pool:2"]);
    assert_refused(
        "",
        &["-i", "x=y", "-i", "eth9"],
        &["stands for \"y\"", "\"eth9\" is no address"],
    );
}

#[test]
fn interfaces_are_sections_too() {
    let config = config_of(
        "[rtpengine]\nlisten-ng = 0.0.0.0:31000\ninterfaces-config = if\n\
         [if-ext]\naddress = 192.0.2.7; 2001:db8::7\nadvertised address = 203.0.113.9\n\
         port-min = 30001\nport-max = 32000\nexclude-ports = 30010; 30011\n\
         [if-b]\nname = int\naddress = eth1\n[if-old]\nalias = int\n[other-x]\naddress = nonsense\n",
        &["-f"],
    );
    let ext = &config.interfaces[0];
    assert_eq!(config.interfaces.len(), 3);
    assert_eq!(
        (ext.name.as_str(), ext.ports),
        (
            "ext",
            PortRange {
                min: 30_002,
                max: 31_999
            }
        )
    );
    assert_eq!(ext.advertised().to_string(), "203.0.113.9");
    assert_eq!(config.interfaces[1].advertised().to_string(), "2001:db8::7");
    let kept: Vec<u16> = config.kept_ports(ext).into_iter().collect();
    assert_eq!(kept, [30_010, 30_011, 31_000]);
    assert_eq!(config.logical("old").count(), 1);
    assert_refused(
        "[rtpengine]\ninterfaces-config = x\n",
        &[],
        &["`interfaces-config` is \"x\""],
    );
    let bad = "[rtpengine]\ninterfaces-config = x\n[x-a]\nport-min = 0\naddress = !\n[x-b]\n";
    assert_refused(
        bad,
        &[],
        &[
            "FILE:4:1: `port-min`",
            "FILE:5:1: `address`",
            "FILE:6:1: the interface",
        ],
    );
}

#[test]
fn templates_are_a_section() {
    let text = "[rtpengine]\ntemplates = t\n[t]\ndefault = ICE=remove\noffer = direction=ext int\n";
    let config = config_of(text, &MINIMAL);
    assert_eq!(config.templates["default"], "ICE=remove");
    assert_eq!(config.templates["offer"], "direction=ext int");
    assert_eq!(config.templates.len(), 2);
}

#[test]
fn wide_bind_starts_and_answers_neighbours() {
    let run = read_line(&["-f", "-i", "eth0", "-n", "0.0.0.0:2223"]).unwrap();
    assert_eq!(run.config.access, Rule::Compat);
    assert!(run.warnings[0].contains("nothing says who may ask"));
    assert_eq!(read_line(&MINIMAL).unwrap().config.access, allow(&[]));
}

#[test]
fn what_is_unknown_is_named_or_refused() {
    let run = run_of(
        "[rtpengine]\ntimout = 3\n",
        &[&MINIMAL[..], &["stray"]].concat(),
    )
    .unwrap();
    assert!(
        run.warnings[0].contains("timout (did you mean timeout?)"),
        "{:?}",
        run.warnings
    );
    assert!(run.warnings[1].contains("stray"));
    assert_refused(
        "",
        &["--timout=3"],
        &["unknown option --timout; did you mean --timeout?"],
    );
}

#[test]
fn without_foreground_it_goes_to_the_background() {
    for (arguments, expected) in [
        (&MINIMAL[1..], true),
        (&MINIMAL[..], false),
        (&[&MINIMAL[1..], &["--foreground=false"]].concat()[..], true),
    ] {
        let run = read_line(arguments).unwrap();
        assert_eq!(run.config.process.background, expected, "{arguments:?}");
        assert_eq!(run.warnings, [""; 0]);
    }
}

#[test]
fn some_options_print_and_end() {
    for (arguments, words) in [
        (["-v", "-x"], "Version: "),
        (["--codecs", "-f"], "telephone-event"),
        (["--help", "-E"], "--listen-ng"),
        (["--nftables-start", "-f"], "no firewall rule"),
    ] {
        let arguments = if arguments[1] == "-x" {
            &arguments[..1]
        } else {
            &arguments[..]
        };
        match read_with("", arguments).unwrap() {
            Request::Print(text) => assert!(text.contains(words), "{text}"),
            Request::Run(_) => panic!("{arguments:?} runs"),
        }
    }
}

#[test]
fn program_is_known_by_its_name() {
    for (path, expected) in [
        ("rtpengine", true),
        ("/usr/sbin/rtpengine", true),
        ("/opt/rtpengine/windlass", false),
        ("rtpengine-recording", false),
        ("", false),
    ] {
        assert_eq!(is_program(path), expected, "{path}");
    }
}

#[test]
fn sections_say_which_conversions_are_liked() {
    let text = "[rtpengine]\ninterface = 192.0.2.1\nlisten-ng = 127.0.0.1:2223\n\
        transcode-config = like\n[like-one]\nsource = PCMA\ndestination = opus/48000/2\n\
        preference = 10\n[like-other]\nsource = PCMU\ndestination = G722\n[unlike]\nsource = x\n";
    let config = config_of(text, &[]);
    let preferences = config.audio.preferences.iter().map(ToString::to_string);
    assert_eq!(
        preferences.collect::<Vec<_>>(),
        ["PCMA -> opus/48000/2 = 10", "PCMU -> G722 = 0"]
    );
    let toml = import(text, "rtpengine").unwrap();
    assert!(
        toml.contains("preferences = [\"PCMA -> opus/48000/2 = 10\", \"PCMU -> G722 = 0\"]"),
        "{toml}"
    );
    let wrong = text.replace("preference = 10", "preference = high");
    let problems = import(&wrong, "rtpengine").unwrap_err();
    assert!(problems[0].message.contains("like-one"), "{problems:?}");
}
