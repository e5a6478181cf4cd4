//! A file becomes a config, or every mistake is named with its place.

use clap::Parser;

use super::draft::Groups;
use super::*;

fn parse(text: &str, flags: &Flags) -> Result<Config, Vec<Problem>> {
    file::parse(text, flags, &Names::unseen())
}

/// Problems as `line:column: message`, or `--flag: message`, or the message.
fn problems(text: &str) -> Vec<String> {
    problems_with(text, &Flags::default())
}

fn problems_with(text: &str, flags: &Flags) -> Vec<String> {
    match parse(text, flags) {
        Ok(_) => Vec::new(),
        Err(list) => list
            .into_iter()
            .map(|problem| {
                Problems {
                    path: None,
                    list: vec![problem],
                }
                .to_string()
            })
            .collect(),
    }
}

fn flags(words: &[&str]) -> Flags {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }
    Line::try_parse_from(std::iter::once(&"test").chain(words))
        .unwrap()
        .flags
}

/// Each expected problem starts with its place and contains the words after it.
#[track_caller]
fn assert_problems(text: &str, expected: &[(&str, &str)]) {
    let found = problems(text);
    let fits = |(problem, (place, words)): (&String, &(&str, &str))| {
        problem.starts_with(&format!("{place}: ")) && problem.contains(words)
    };
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(fits),
        "{found:#?}"
    );
}

const INTERFACE: &str = "[[interface]]\naddress = \"192.0.2.1\"\n";

#[test]
fn one_interface_is_enough() {
    let config = parse(INTERFACE, &Flags::default()).unwrap();
    let expected = Config {
        interfaces: vec![Interface {
            name: "default".to_owned(),
            address: [192, 0, 2, 1].into(),
            advertise: None,
            ports: PortRange {
                min: 30_000,
                max: 39_999,
            },
            exclude_ports: Vec::new(),
        }],
        ..Config::default()
    };
    assert_eq!(config, expected);
}

#[test]
fn example_is_valid_and_shows_the_defaults() {
    let example = parse(include_str!("example.toml"), &Flags::default()).unwrap();
    let expected = Config {
        interfaces: example.interfaces.clone(),
        limits: example.limits.clone(),
        workers: example.workers,
        edge: example.edge.clone(),
        ..Config::default()
    };
    assert_eq!(example, expected);
}

#[test]
fn example_names_every_setting_in_its_section() {
    let example = include_str!("example.toml");
    let mut missing = Vec::new();
    for (section, keys) in Groups::KEYS {
        let header = format!("\n[{section}]");
        let (_, text) = example.split_once(&header).unwrap_or_default();
        let text = text.split("\n[").next().unwrap_or_default();
        let words: Vec<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .collect();
        // Codes are listed by what stands in front of `code`.
        let is_named = |key: &str| {
            let short = key.trim_end_matches("code");
            words.contains(&key) || words.contains(&short)
        };
        let unnamed = keys.iter().filter(|key| !is_named(key));
        missing.extend(unnamed.map(|key| format!("{section}.{key}")));
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        r#"
        [[interface]]
        name = "ext"
        address = "203.0.113.1"
        advertise = "198.51.100.99"
        port_min = 30000
        port_max = 30999
        [[interface]]
        name = "int"
        address = "2001:db8::1"
        [ports]
        min = 40000
        max = 49999
        [ng]
        udp = ["127.0.0.1:2223", "[::1]:2223"]
        tcp = ["127.0.0.1:2224"]
        [media]
        learning = "heuristic"
        signalling_hops = ["192.0.2.7"]
        tos = 184
        [timeouts]
        media = 30
        silent = 600
        offer = 120
        final = 7200
        delete_delay = 0
        [limits]
        max_sessions = 1000
        [log]
        level = "info,windlass::call=debug"
        format = "json"
        [workers]
        count = 2
        [edge]
        listen = ["127.0.0.1:5060"]
        advertise = "sip.example.com:5060"
        upstream = "127.0.0.1:5080"
        ng = "127.0.0.1:2223"
        direction = ["ext", "int"]
        address_family = "IP6"
        calls = 2000
        setups_per_source = 20
        bytes_per_source = 70000
        "#,
        &Flags::default(),
    )
    .unwrap();
    assert_eq!(config.interfaces.len(), 2);
    assert_eq!(
        config.interfaces[0].advertised(),
        IpAddr::from([198, 51, 100, 99])
    );
    assert_eq!(config.interfaces[0].ports.count(), 1000);
    assert_eq!(config.interfaces[1].ports.min, 40_000);
    assert_eq!(config.ng.udp.len(), 2);
    assert_eq!(config.media.learning, Learning::Heuristic);
    assert_eq!(config.media.tos, 184);
    assert_eq!(config.timeouts.final_limit, Some(Duration::from_secs(7200)));
    assert_eq!(config.timeouts.delete_delay, Duration::ZERO);
    assert_eq!(config.limits.max_sessions, Some(1000));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.workers, Some(2));
    let settings = config.edge.unwrap().settings(([127, 0, 0, 1], 9).into());
    let [public, core] = &settings.zones[..] else {
        panic!("{:?}", settings.zones);
    };
    let bound: Vec<_> = public.listeners.iter().map(|listen| listen.bind).collect();
    assert_eq!(bound, ["127.0.0.1:5060".parse::<SocketAddr>().unwrap()]);
    assert_eq!(settings.ng.port(), 2223);
    let interfaces = [public, core].map(|zone| zone.media_interface.as_deref());
    assert_eq!(interfaces, [Some("ext"), Some("int")]);
    let tables = &settings.tables;
    let bounds = (
        tables.dialogs,
        tables.setups_per_source,
        tables.bytes_per_source,
    );
    assert_eq!(bounds, (2000, 20, 70_000));
    let families = (public.address_family, core.address_family);
    assert_eq!(families, (None, Some(Family::Ip6)));
}

/// The files that the operator's page of the edge shows can be used.
#[test]
fn files_of_the_page_on_the_edge_are_valid() {
    let page = include_str!("../../docs/edge.md");
    let files = page.split("```toml\n").skip(1);
    let files: Vec<&str> = files.filter_map(|rest| rest.split("```").next()).collect();
    assert!(files.len() >= 2, "{}", files.len());
    for file in files {
        let interfaces = ["ext", "int"]
            .map(|name| format!("[[interface]]\nname = \"{name}\"\naddress = \"198.51.100.1\"\n"));
        let text = format!(
            "{}[ports]\nmin = 30000\nmax = 30999\n{file}",
            interfaces.concat()
        );
        assert_eq!(problems(&text), Vec::<String>::new(), "{file}");
    }
}

#[test]
fn an_edge_of_zones_names_interfaces_of_the_relay() {
    let text = "[[interface]]\nname = \"ext\"\naddress = \"192.0.2.1\"\n\
                [[zone]]\nname = \"public\"\nmedia_interface = \"ext\"\n\
                [[zone.listen]]\nproto = \"udp\"\nbind = \"127.0.0.1:5060\"\n";
    let config = parse(text, &Flags::default()).unwrap();
    let settings = config.edge.unwrap().settings(([127, 0, 0, 1], 9).into());
    assert_eq!(settings.ng.port(), 9);
    assert_eq!(settings.zones[0].listeners[0].bind.port(), 5060);
    let elsewhere = text.replace("media_interface = \"ext\"", "media_interface = \"exr\"");
    let said = problems(&elsewhere);
    let [problem] = &*said else {
        panic!("{said:?}");
    };
    let expected = "6:19: no interface is called \"exr\"; did you mean \"ext\"?";
    assert_eq!(problem, expected);
    let without = format!("{INTERFACE}[log]\nsecurity = {{ file = \"security.log\" }}\n");
    let expected = "4:12: `security` is of an edge with zones, and there is no [[zone]]";
    assert_eq!(problems(&without), [expected]);
    let taken = text.replace("127.0.0.1:5060", "127.0.0.1:2223");
    let said = problems(&taken);
    assert!(
        said.iter()
            .any(|problem| problem.contains("listened on twice")),
        "{said:?}"
    );
}

#[test]
fn every_mistake_is_named_with_its_place() {
    assert_problems(
        r#"[[interface]]
adress = "192.0.2.1"
[[interface]]
address = "192.0.2.300"
port_min = 31000
port_max = 30999
[ng]
udp = ["127.0.0.1:2223", "0.0.0.0:2224", 7]
[medai]
[timeouts]
media = "60"
final = -1
[log]
level = "verbose"
"#,
        &[
            ("1:1", "no `address`"),
            ("2:1", "did you mean `address`?"),
            ("4:11", "\"192.0.2.300\", expected an IPv4 or IPv6 address"),
            ("5:12", "31000-30999 is upside down"),
            ("8:26", "a wider bind needs the list of allowed peers"),
            ("8:42", "is an integer, expected an address and port"),
            ("9:2", "unknown section `medai`; did you mean `media`?"),
            ("11:9", "is a string, expected a whole number from 1"),
            ("12:9", "expected a whole number from 0"),
            ("14:9", "`verbose` is no log level"),
        ],
    );
}

#[test]
fn syntax_errors_do_not_hide_other_mistakes() {
    assert_problems(
        "[ports]\nmin = = 3\nmax = \"x\"\n[ng]\nudp = [\"0.0.0.0:22\"]\n[limits\n",
        &[
            ("2:7", "extra `=`"),
            ("3:7", "is a string"),
            ("5:8", "only loopback"),
            ("6:8", "unclosed table"),
        ],
    );
}

#[test]
fn port_ranges_consist_of_pairs() {
    let ports = |range: &str| format!("[ports]\n{range}\n{INTERFACE}");
    assert_problems(
        &ports("min = 30001\nmax = 30100"),
        &[("2:7", "30002-30099")],
    );
    assert_problems(
        &ports("min = 30000\nmax = 30000"),
        &[("2:7", "has 1 ports")],
    );
    assert_problems(&ports("max = 29999"), &[("2:7", "upside down")]);
    assert_eq!(problems(&ports("min = 30000\nmax = 30003")), [""; 0]);
}

#[test]
fn networks_and_host_ports_bound_where_media_goes() {
    let media = |lines: &str| format!("{INTERFACE}[media]\n{lines}");
    let text =
        media("forbid = [\"10.0.0.0/8\", \"2001:db8::/32\"]\nhost_ports = [\"10000-20000\"]");
    let config = parse(&text, &Flags::default()).unwrap();
    let destinations = &config.media.destinations;
    assert_eq!(destinations.forbid.len(), 2);
    assert_eq!(destinations.forbid[0].to_string(), "10.0.0.0/8");
    assert_eq!(destinations.host_ports[0].to_string(), "10000-20000");
    assert_problems(
        &media("forbid = [\"10.0.0.0/8\", \"10.0.0.1/8\"]"),
        &[("4:25", "\"10.0.0.1/8\", expected a network such as")],
    );
    for bad in ["0", "7-", "9-8", "65536", "a"] {
        let text = media(&format!("host_ports = [\"{bad}\"]"));
        assert_problems(&text, &[("4:15", "expected a port or ports")]);
    }
}

#[test]
fn one_address_belongs_to_a_name_once() {
    let twice = format!("{INTERFACE}{INTERFACE}");
    assert_problems(&twice, &[("4:11", "has 192.0.2.1 already")]);
    let two_names = format!("{INTERFACE}{INTERFACE}name = \"other\"");
    assert_eq!(problems(&two_names), [""; 0]);
}

#[test]
fn listeners_are_given_once() {
    let text = format!("{INTERFACE}[ng]\ntcp = [\"[::1]:2223\", \"[::1]:2223\"]");
    assert_problems(&text, &[("4:22", "listened on twice")]);
    let clash =
        format!("{INTERFACE}[edge]\nlisten = [\"127.0.0.1:2223\"]\nupstream = \"127.0.0.1:5080\"");
    assert_problems(&clash, &[("4:11", "listened on twice")]);
}

#[test]
fn edge_names_interfaces_and_an_upstream() {
    let text = format!(
        "{INTERFACE}[edge]\nlisten = [\"127.0.0.1:5060\"]\nupstream = \"127.0.0.1:5060\"\n\
         direction = [\"defualt\", \"default\"]"
    );
    assert_problems(
        &text,
        &[
            ("5:12", "is the edge itself"),
            ("6:14", "did you mean \"default\"?"),
        ],
    );
    let empty = format!("{INTERFACE}[edge]\nadvertise = \"a b\"");
    assert_problems(
        &empty,
        &[
            ("3:1", "no `listen`"),
            ("3:1", "no `upstream`"),
            ("4:13", "expected a host"),
        ],
    );
}

#[test]
fn without_an_interface_it_says_what_to_write() {
    let found = problems("");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("[[interface]]") && found[0].contains("--interface"));
}

#[test]
fn flags_override_the_file() {
    let text = format!("{INTERFACE}port_min = 50000\nport_max = 50999\n[log]\nlevel = \"warn\"");
    let flags = flags(&[
        "--interface=ext/198.51.100.1",
        "--interface=int/10.0.0.1",
        "--port-min=20000",
        "--port-max=20999",
        "--listen-ng=2300",
        "--log-level=debug",
        "--learning=off",
    ]);
    let config = parse(&text, &flags).unwrap();
    assert_eq!(config.interfaces.len(), 2);
    assert_eq!(config.interfaces[0].name, "ext");
    assert_eq!(config.interfaces[1].ports.max, 20_999);
    assert_eq!(config.ng.udp, [SocketAddr::from(([127, 0, 0, 1], 2300))]);
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.media.learning, Learning::Off);
}

#[test]
fn mistakes_in_flags_name_the_flag() {
    let flags = flags(&[
        "--port-min=39000",
        "--port-max=38999",
        "--listen-ng=0.0.0.0:2223",
    ]);
    let found = problems_with(INTERFACE, &flags);
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("--listen-ng: "), "{found:?}");
    assert!(found[1].starts_with("--port-min: "), "{found:?}");
}

#[test]
fn wide_bind_needs_to_know_its_peers() {
    let ng = |rest: &str| format!("{INTERFACE}[ng]\nudp = [\"0.0.0.0:2223\"]\n{rest}");
    let access = |text: &str| parse(text, &Flags::default()).map(|config| config.access);
    assert_problems(
        &ng(""),
        &[("4:8", "`allow = [\"10.0.0.0/8\"]` in [control]")],
    );
    let listed = access(&ng("[control]\nallow = [\"10.0.0.0/8\", \"2001:db8::1\"]")).unwrap();
    let networks = ["10.0.0.0/8", "2001:db8::1"].map(|network| network.parse().unwrap());
    assert_eq!(listed, access::allow(&networks));
    // A secret is no list: who does not know it stays out.
    let secret = access(&ng("[control]\nsecret = \"s\""));
    assert_eq!(secret, Ok(access::allow(&[])));
    // A client certificate proves nothing over UDP.
    assert_problems(
        &ng("[control]\nclient_ca = \"/ca\""),
        &[("4:8", "`client_ca`")],
    );
    let https = "[control]\nhttps = [\"0.0.0.0:443\"]\nhttps_cert = \"/c\"\n";
    let text = format!("{INTERFACE}{https}");
    assert_eq!(problems(&text).len(), 1);
    assert_eq!(problems(&format!("{text}client_ca = \"/ca\"")), [""; 0]);
    let host_bits = format!("{INTERFACE}[control]\nallow = [\"10.0.0.1/8\"]");
    assert_problems(
        &host_bits,
        &[("4:10", "\"10.0.0.1/8\", expected a network such as")],
    );
}

#[test]
fn entries_of_lists_and_listeners_have_their_own_places() {
    let text = r#"[[interface]]
address = "192.0.2.1"
[control]
allow = ["10.0.0.0/8", "10.0.0.0/99",
         7]
cli = ["127.0.0.1:1", "127.0.0.1"]
http = 5
tos = 256
[redis]
keyspaces = [1, "x"]
"#;
    assert_problems(
        text,
        &[
            ("4:24", "`allow` is \"10.0.0.0/99\", expected a network"),
            ("5:10", "`allow` is 7, expected a network"),
            (
                "6:23",
                "`cli` is \"127.0.0.1\", expected an address and port",
            ),
            ("7:8", "`http` is 5, expected a list"),
            ("8:7", "`tos` is 256"),
            ("10:17", "`keyspaces` is a string, expected a whole number"),
        ],
    );
    let wide = format!(
        "{INTERFACE}[control]\ncli = [\"127.0.0.1:1\", \"0.0.0.0:1\"]\nhttp = [\"0.0.0.0:2\"]\n\
         https = [\"127.0.0.1:3\", \"0.0.0.0:3\"]\n"
    );
    assert_problems(
        &wide,
        &[
            ("4:23", "control `cli` on 0.0.0.0:1"),
            ("5:9", "control `http` on 0.0.0.0:2"),
            ("6:10", "`https_cert`"),
            ("6:25", "control `https` on 0.0.0.0:3"),
        ],
    );
}

#[test]
fn aliases_and_templates_are_names_of_choice() {
    let text = format!(
        "{INTERFACE}name = \"ext\"\n[aliases]\nout = \"ext\"\n[templates]\noffer = \"ICE=remove\"\n"
    );
    let config = parse(&text, &Flags::default()).unwrap();
    assert_eq!(config.logical("out").count(), 1);
    assert_eq!(config.templates["offer"], "ICE=remove");
    let wrong =
        format!("{INTERFACE}name = \"public\"\n[aliases]\nout = \"pubic\"\npublic = \"out\"");
    assert_problems(
        &wrong,
        &[
            ("5:7", "did you mean \"public\"?"),
            ("6:10", "both an alias and an interface"),
        ],
    );
}

#[test]
fn settings_of_a_topic_say_what_they_expect() {
    let text = format!(
        "{INTERFACE}[dtls]\nmtu = 100\npasive = true\n[recording]\nmethod = \"tape\"\n\
         [dtmf]\nlog_dest = 7\n[quality]\nrtcp_interval_ms = \"5s\"\n[redis]\nread = \"x\"\n"
    );
    assert_problems(
        &text,
        &[
            (
                "4:7",
                "`mtu` is 100, expected a whole number from 576 to 65535",
            ),
            ("5:1", "did you mean `passive`?"),
            (
                "7:10",
                "`method` is \"tape\", expected one of pcap, proc, all",
            ),
            ("9:12", "`log_dest` is 7, expected a host and port"),
            ("11:20", "is a string, expected a whole number"),
            ("13:8", "expected a database"),
        ],
    );
}

#[test]
fn names_stand_for_addresses_of_the_host() {
    let names = Names::new(
        vec![names::LocalInterface {
            name: "eth0".to_owned(),
            address: [192, 0, 2, 7].into(),
        }],
        |_| Vec::new(),
    );
    let read = |address: &str| {
        let text = format!("[[interface]]\naddress = \"{address}\"\n");
        file::parse(&text, &Flags::default(), &names)
    };
    assert_eq!(
        read("eth0").unwrap().interfaces[0].address,
        IpAddr::from([192, 0, 2, 7])
    );
    assert_eq!(read("any").unwrap().interfaces.len(), 1);
    let unknown = read("eth9").unwrap_err();
    assert_eq!(
        unknown[0].at,
        Place::File {
            line: 2,
            column: 11
        }
    );
}

#[test]
fn libraries_of_codecs_are_named() {
    let names = |text: &str| {
        let config = parse(&format!("{INTERFACE}{text}"), &Flags::default()).unwrap();
        let libraries = config.audio.libraries.iter().map(ToString::to_string);
        libraries.collect::<Vec<_>>().join(" ")
    };
    // That of G.729 is not opened unasked: its licence is the GPL.
    assert_eq!(names(""), "amr gsm opus speex");
    assert_eq!(
        names("[audio]\nlibraries = [\"opus\", \"g729\"]\n"),
        "opus g729"
    );
    assert!(
        parse(
            &format!("{INTERFACE}[audio]\nlibraries = [\"mp3\"]\n"),
            &Flags::default()
        )
        .is_err()
    );
    let wrong = format!("{INTERFACE}[audio]\npreferences = [\"PCMA\"]\n");
    assert!(parse(&wrong, &Flags::default()).is_err());
}
