mod link;

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;
use windlass_toml::{Place, Reader};

use super::{Read, read};
use crate::config::{
    Algorithm, ClientCertificates, CodeRange, Failover, HashKey, ListenerKind, MediaPolicy,
    OnMediaError, PingMethod, PoolConfig, Probe, Profile, Protocol, Redirects, RegisterMode,
    RouteConfig, RouteMatch, RouteTo, SilentSides, TargetConfig, Trust,
};

const WHOLE: &str = r#"
[edge]
domains = ["example.com", "SIP.example.com"]
max_call = "12h"
max_call_header = "X-Max-Call"
state_dir = "state"
shed_after = "30ms"
priority = ["112", "110"]
calls = 2000

[media]
backend = "local"
on_error = "bypass"
silence = "90s"
silent_sides = "one"

[[zone]]
name = "public"
trust = "untrusted"
media = "opportunistic"
media_interface = "ext"
[[zone.listen]]
proto = "udp"
bind = "192.0.2.10:5060"
advertise = "198.51.100.10"
[[zone.listen]]
proto = "tls"
bind = "192.0.2.10:5061"
advertise = "sip.example.com"
cert = [{ names = ["sip.example.com"], chain = "tls/chain.pem", key = "/etc/key.pem" }]
client_ca = "tls/phones.pem"
[[zone.listen]]
proto = "wss"
bind = "192.0.2.10:8443"
origins = ["https://phone.example.com"]
cert = [{ chain = "tls/chain.pem", key = "tls/key.pem" }]

[[zone]]
name = "core"
trust = "inside"
media = "plain"
media_interface = "int"
[[zone.listen]]
proto = "udp"
bind = "10.0.0.10:5060"

[[link]]
zones = ["public", "core"]
anchor_media = false
session_timer = { min_se = 120, insert = true, interval = "1h" }

[[upstream]]
name = "pbx"
zone = "core"
[[upstream.target]]
uri = "sip:10.0.0.21"
[[upstream.target]]
uri = "sip:10.0.0.22:5070;transport=tcp"

[[route]]
match = { domain = "example.com", from_zone = "public" }
to = ["pbx"]

[register]
mode = "alias"
nat_ping = { every = "30s", method = "options" }
max_contacts_per_aor = 3
"#;

fn reading(text: &str) -> (Option<Read>, Vec<(usize, String)>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let mut reader = Reader::new(text);
    let found = read(&mut reader, document.get_ref(), Path::new("/etc/windlass"));
    let problems = reader.problems.into_iter().map(|problem| {
        let line = match problem.at {
            Place::File { line, .. } => line,
            _ => 0,
        };
        (line, problem.message)
    });
    (found, problems.collect())
}

#[test]
fn a_whole_file_is_read() {
    let (found, problems) = reading(WHOLE);
    assert_eq!(problems, []);
    let found = found.unwrap();
    let config = &found.config;
    let [public, core] = &*config.zones else {
        panic!("{config:?}");
    };
    assert_eq!(
        (public.trust, core.trust),
        (Trust::Untrusted, Trust::Inside)
    );
    assert_eq!(
        (public.media, core.media),
        (Profile::Opportunistic, Profile::Plain)
    );
    assert_eq!(public.media_interface.as_deref(), Some("ext"));
    let protocols: Vec<_> = public.listeners.iter().map(|l| l.kind.protocol()).collect();
    assert_eq!(protocols, [Protocol::Udp, Protocol::Tls, Protocol::Wss]);
    let [_, tls, wss] = &*public.listeners else {
        panic!("{public:?}");
    };
    let ListenerKind::Tls(tls) = &tls.kind else {
        panic!("{tls:?}");
    };
    let [certificate] = &*tls.certificates else {
        panic!("{tls:?}");
    };
    // Names of files are relative to the file; whole paths stay.
    assert_eq!(
        certificate.chain,
        PathBuf::from("/etc/windlass/tls/chain.pem")
    );
    assert_eq!(certificate.key, PathBuf::from("/etc/key.pem"));
    let ca = PathBuf::from("/etc/windlass/tls/phones.pem");
    assert_eq!(tls.clients, ClientCertificates::Optional(ca));
    let ListenerKind::Wss(tls, ws) = &wss.kind else {
        panic!("{wss:?}");
    };
    assert_eq!(tls.certificates[0].names, ["*"]);
    assert_eq!(ws.origins, ["https://phone.example.com"]);
    let [pbx] = &*config.upstreams else {
        panic!("{config:?}");
    };
    let targets: Vec<_> = pbx.targets.iter().map(|target| &*target.uri).collect();
    let expected = ["sip:10.0.0.21", "sip:10.0.0.22:5070;transport=tcp"];
    assert_eq!((&*pbx.zone, &*targets), ("core", &expected[..]));
    let matching = RouteMatch {
        domain: Some("example.com".to_owned()),
        from_zone: Some("public".to_owned()),
        ..RouteMatch::default()
    };
    assert_eq!(config.routes, [RouteConfig::new(matching, &["pbx"])]);
    let register = &config.register;
    assert_eq!(register.mode, RegisterMode::Alias);
    assert_eq!(register.domains, ["example.com", "sip.example.com"]);
    assert_eq!(register.nat_ping, Duration::from_secs(30));
    assert_eq!(register.nat_ping_method, PingMethod::Options);
    assert_eq!(register.max_contacts_per_aor, 3);
    let timer = config.session_timer(1, 0);
    assert_eq!(timer.min_se, Duration::from_secs(120));
    assert_eq!((timer.insert, timer.interval.as_secs()), (true, 3600));
    assert!(!config.anchors(0, 1));
    assert_eq!(config.max_call_header.as_deref(), Some("X-Max-Call"));
    let state_dir = PathBuf::from("/etc/windlass/state");
    assert_eq!(config.state_dir, Some(state_dir));
    assert_eq!(config.overload.shed_after, Duration::from_millis(30));
    assert_eq!(config.overload.priority, ["112", "110"]);
    let policy = MediaPolicy {
        on_error: OnMediaError::Bypass,
        silence: Some(Duration::from_secs(90)),
        silent_sides: SilentSides::One,
    };
    assert_eq!(config.media, policy);
    assert_eq!(config.tables.dialogs, 2000);
    assert_eq!(config.max_call, Duration::from_secs(43_200));
    let interfaces: Vec<_> = found.interfaces.iter().map(|name| &*name.value).collect();
    assert_eq!(interfaces, ["ext", "int"]);
    assert!(found.ng.is_none());
}

/// The whole file with one text in the place of another: what is said of it.
fn complaint(old: &str, new: &str) -> String {
    let text = WHOLE.replacen(old, new, 1);
    assert_ne!(text, WHOLE, "{old}");
    let (_, problems) = reading(&text);
    let at = WHOLE.find(old).unwrap_or_default();
    let line = text[..at].matches('\n').count() + 1;
    // What lacks in a table is said at its head.
    let lines = line.saturating_sub(2)..=line + new.matches('\n').count() + 3;
    // What follows from it is told as well.
    let Some((place, message)) = problems.first() else {
        panic!("{new}: nothing is said");
    };
    assert!(lines.contains(place), "{lines:?}: {place}: {message}");
    message.clone()
}

#[test]
fn each_mistake_is_named_with_its_place() {
    for (old, new, expected) in [
        (
            "trust = \"untrusted\"",
            "trust = \"outside\"",
            "`trust` is \"outside\", expected one of untrusted, peer, inside; did you mean \"inside\"?",
        ),
        (
            "media = \"plain\"",
            "medai = \"plain\"",
            "unknown key `medai` in [zone]; did you mean `media`?",
        ),
        (
            "name = \"core\"\ntrust",
            "name = \"public\"\ntrust",
            "there are two zones called \"public\"",
        ),
        (
            "bind = \"10.0.0.10:5060\"",
            "bind = \"192.0.2.10:5060\"",
            "192.0.2.10:5060 is listened on twice",
        ),
        (
            "proto = \"udp\"\nbind = \"10.0.0.10:5060\"",
            "bind = \"10.0.0.10:5060\"",
            "a listener has no `proto`",
        ),
        (
            "client_ca = \"tls/phones.pem\"",
            "require_client_cert = true",
            "client certificates need `client_ca`, the authorities that issue them",
        ),
        (
            "advertise = \"198.51.100.10\"",
            "origins = []",
            "`origins` has no meaning for `proto = \"udp\"`",
        ),
        (
            "advertise = \"198.51.100.10\"",
            "advertise = \"a b\"",
            "`advertise` is \"a b\", expected a host or a host and port such as \
             \"sip.example.com:5061\"",
        ),
        (
            "uri = \"sip:10.0.0.21\"",
            "uri = \"sip:pbx.example.com;transport=x\"",
            "`uri` is \"sip:pbx.example.com;transport=x\", expected a SIP URI such as \
             \"sip:192.0.2.1:5060\" or \"sip:pbx.example.com;transport=tls\"; its transport is \
             unknown, or unknown for sips",
        ),
        (
            "to = [\"pbx\"]",
            "to = [\"pdx\"]",
            "no upstream is called \"pdx\"; did you mean \"pbx\"?",
        ),
        (
            "from_zone = \"public\"",
            "from_zone = \"publik\"",
            "no zone is called \"publik\"; did you mean \"public\"?",
        ),
        (
            "min_se = 120",
            "min_se = \"30s\"",
            "`min_se` is \"30s\", expected a time from 90s to 1d, such as \"90s\"",
        ),
        (
            "interval = \"1h\"",
            "interval = 90",
            "`interval` of a session timer is shorter than its `min_se`",
        ),
        (
            "silent_sides = \"one\"",
            "silent_sides = \"caller\"",
            "`silent_sides` is \"caller\", expected one of both, one",
        ),
        (
            "backend = \"local\"",
            "backend = [\"udp:127.0.0.1:2223\", \"udp:127.0.0.1:2223\"]",
            "`backend` names \"udp:127.0.0.1:2223\" twice",
        ),
        (
            "backend = \"local\"",
            "backend = []",
            "`backend` names 0 relays, expected 1 to 64",
        ),
        (
            "backend = \"local\"",
            "backend = [\"127.0.0.1:2223\"]",
            "`backend` has \"127.0.0.1:2223\", expected \"local\" or ng daemons such as \
             [\"udp:127.0.0.1:2223\"]",
        ),
        (
            "max_call_header = \"X-Max-Call\"",
            "max_call_header = \"X Max\"",
            "\"X Max\" is no name of a header",
        ),
        (
            "domains = [\"example.com\"",
            "domains = [\"example..com\"",
            "\"example..com\" is no domain name",
        ),
        (
            "every = \"30s\"",
            "every = 30",
            "`every` is an integer, expected a time from 0ms to 1d, such as \"30s\"",
        ),
    ] {
        assert_eq!(complaint(old, new), expected);
    }
}

#[test]
fn streams_and_datagrams_share_an_address() {
    let text = WHOLE.replace("bind = \"192.0.2.10:5061\"", "bind = \"192.0.2.10:5060\"");
    assert_eq!(reading(&text).1, []);
}

#[test]
fn another_daemon_may_be_the_backend() {
    let daemon = "backend = [\"udp:127.0.0.1:2223\", \"udp:[::1]:2223\"]\nsilence = \"0s\"";
    let text = WHOLE.replace("backend = \"local\"", daemon);
    let text = text.replace("silence = \"90s\"\n", "");
    let (found, problems) = reading(&text);
    assert_eq!(problems, []);
    let found = found.unwrap();
    let ng = "127.0.0.1:2223".parse().unwrap();
    assert_eq!(
        (found.config.ng, found.ng.map(|ng| ng.value)),
        (ng, Some(ng))
    );
    assert_eq!(found.config.more_ng, ["[::1]:2223".parse().unwrap()]);
    assert_eq!(found.config.media.silence, None);
}

#[test]
fn nothing_is_read_of_an_edge_without_zones() {
    let (found, problems) = reading("[register]\nmode = \"path\"\n");
    assert!(found.is_none());
    assert_eq!(
        problems,
        [(0, "the edge needs at least one [[zone]]".to_owned())]
    );
}

const SCREEN: &str = r#"
[screen]
on_banned = "fake200"
never_ban = ["10.0.0.0/8"]
ban = "2h"
unverified_ban = "30s"
[screen.flood]
limit = 40
window = "3s"
hold = "1m"
[screen.fingerprints]
user_agent = ["(?i)mass-?scan"]
from_user = ["nm"]
[screen.methods]
deny_code = 503
allow = ["INVITE", "ACK"]
[screen.auth_failures]
max = 4
window = "60s"
[[screen.rate]]
name = "gw"
key = "{ruri_user}"
methods = ["INVITE"]
rate = 7

[[peer]]
name = "carrier"
max_call = "2h"
zone = "public"
source = ["203.0.113.0/29"]
limits = { calls = 400, cps = 40 }

[[limit]]
name = "per-user"
key = "{user}"
calls = 5

[log]
security = { file = "log/security.log", format = "json" }
cdr = { file = "/var/log/cdr.jsonl", rotate = "daily", missed = false }
"#;

#[test]
fn screen_limits_and_logs_are_read() {
    let (read, problems) = reading(&format!("{WHOLE}{SCREEN}"));
    assert_eq!(problems, []);
    let config = read.unwrap().config;
    let screen = config.screen.as_ref().unwrap();
    assert_eq!(screen.on_banned, crate::OnBanned::Fake200);
    assert_eq!(screen.ban, Some(Duration::from_secs(7200)));
    assert_eq!(
        (screen.flood.limit, screen.flood.hold),
        (40, Duration::from_secs(60))
    );
    assert_eq!(screen.fingerprints.user_agent, ["(?i)mass-?scan"]);
    assert!(screen.fingerprints.use_shipped);
    assert_eq!(screen.methods.deny_code, Some(503));
    assert_eq!(screen.auth_failures.max, 4);
    assert_eq!((screen.rates[0].rate, screen.rates[0].burst), (7, 50));
    let peer = &screen.peers[0];
    assert_eq!(
        (peer.zone, peer.calls, peer.cps),
        (Some(0), Some(400), Some(40))
    );
    assert_eq!(
        (&*screen.limits[0].key, screen.limits[0].calls),
        ("{user}", Some(5))
    );
    let security = config.security_log.unwrap();
    assert_eq!(security.file, Path::new("/etc/windlass/log/security.log"));
    assert_eq!(security.format, crate::LogFormat::Json);
    let cdr = config.cdr.unwrap();
    assert_eq!(cdr.file, Path::new("/var/log/cdr.jsonl"));
    assert!(cdr.daily && !cdr.missed && cdr.failed);
}

#[test]
fn zones_are_screened_by_default() {
    let (read, _) = reading(WHOLE);
    assert_eq!(
        read.unwrap().config.screen,
        Some(crate::ScreenConfig::default())
    );
}

#[test]
fn mistakes_of_the_screen_are_told() {
    let text = r#"
[screen]
never_ban = ["10.0.0.0/40"]
[screen.fingerprints]
user_agent = ["("]
[[limit]]
name = "a"
key = "{who}"
calls = 1
[[limit]]
name = "b"
key = "{user}"
"#;
    let whole = format!("{WHOLE}{text}");
    let (_, problems) = reading(&whole);
    for (what, beside) in [
        ("10.0.0.0/40", "never_ban ="),
        ("user_agent", "user_agent ="),
        ("\"who\" is no field", "name = \"a\""),
        ("limit \"b\": neither", "name = \"b\""),
    ] {
        let before = &whole[..whole.find(beside).unwrap()];
        let line = before.matches('\n').count() + 1;
        let told = |(at, message): &(usize, String)| *at == line && message.contains(what);
        assert!(problems.iter().any(told), "{line}: {what}: {problems:?}");
    }
}

#[test]
fn lists_and_categories_name_files_that_must_be_there() {
    let text = r#"
[screen]
[[screen.list]]
name = "global"
file = "no/deny.csv"
[[category]]
name = "RISKY"
file = "/no/risky.csv"
[[limit]]
name = "risky"
key = "{user}"
category = "RISKI"
calls = 1
"#;
    let (read, problems) = reading(&format!("{WHOLE}{text}"));
    let told = |what: &str| problems.iter().any(|(_, message)| message.contains(what));
    for what in [
        "/etc/windlass/no/deny.csv: ",
        "/no/risky.csv: ",
        "no category is called \"RISKI\"",
    ] {
        assert!(told(what), "{what}: {problems:?}");
    }
    let screen = read.unwrap().config.screen.unwrap();
    assert!(!screen.lists[0].caller);
}

#[test]
fn pools_and_routes_are_read_whole() {
    let pool = r#"name = "pbx"
zone = "core"
algorithm = "hash:user"
probe = "always"
probing = { interval = "20s", misses = 2, alive = ["200-499", 503] }
[[upstream.target]]
uri = "sip:pbx.example.com;transport=tls"
group = 1
weight = 3
resources = { channels = 300 }
probe = "never"
"#;
    let text = WHOLE.replacen("name = \"pbx\"\nzone = \"core\"\n", pool, 1);
    let route = r#"match = { domain = "*.example.com", methods = ["INVITE"], prefix = "49" }
to = ["pbx"]
resources = ["channels"]
failover = { codes = [408, "500-503"], answer_timeout = "2s", ringing_timeout = "9s", redirects = "follow" }
[[route]]
match = { from_zone = "core" }
to = ["request_uri"]
"#;
    let before = "match = { domain = \"example.com\", from_zone = \"public\" }\nto = [\"pbx\"]\n";
    let text = text.replacen(before, route, 1);
    let (found, problems) = reading(&text);
    assert_eq!(problems, []);
    let config = found.unwrap().config;
    let mut pool = PoolConfig::new("pbx", "core", &[]);
    pool.algorithm = Algorithm::Hash(HashKey::User);
    pool.probe = Probe::Always;
    pool.probing.interval = Duration::from_secs(20);
    pool.probing.misses = 2;
    pool.probing.alive = vec![CodeRange(200, 499), CodeRange(503, 503)];
    let mut named = TargetConfig::new("sip:pbx.example.com;transport=tls");
    named.group = 1;
    named.weight = 3;
    named.resources = vec![("channels".to_owned(), 300)];
    named.probe = Some(Probe::Never);
    pool.targets = vec![
        named,
        TargetConfig::new("sip:10.0.0.21"),
        TargetConfig::new("sip:10.0.0.22:5070;transport=tcp"),
    ];
    assert_eq!(config.upstreams, [pool]);
    let matching = RouteMatch {
        domain: Some("*.example.com".to_owned()),
        methods: vec!["INVITE".to_owned()],
        prefix: Some("49".to_owned()),
        ..RouteMatch::default()
    };
    let mut first = RouteConfig::new(matching, &["pbx"]);
    first.resources = Some(vec!["channels".to_owned()]);
    first.failover = Failover {
        codes: vec![CodeRange(408, 408), CodeRange(500, 503)],
        answer_timeout: Duration::from_secs(2),
        ringing_timeout: Some(Duration::from_secs(9)),
        redirects: Redirects::Follow,
        ..Failover::default()
    };
    let matching = RouteMatch {
        from_zone: Some("core".to_owned()),
        ..RouteMatch::default()
    };
    let second = RouteConfig {
        to: RouteTo::RequestUri,
        ..RouteConfig::new(matching, &[])
    };
    assert_eq!(config.routes, [first, second]);
}

#[test]
fn mistakes_of_pools_and_routes_are_named() {
    let to = "to = [\"pbx\"]";
    for (old, new, expected) in [
        (
            "zone = \"core\"\n[[upstream",
            "zone = \"core\"\nalgorithm = \"hash:usr\"\n[[upstream",
            "`algorithm` is \"hash:usr\", expected one of first, hash:aor, hash:callid, hash:ruri, \
             hash:user, least_calls, resource, resource:relative, weight; did you mean \
             \"hash:user\"?",
        ),
        (
            "uri = \"sip:10.0.0.21\"",
            "uri = \"sip:10.0.0.22:5070;transport=tcp\"",
            "the upstream has two targets \"sip:10.0.0.22:5070;transport=tcp\"",
        ),
        (
            to,
            "to = [\"pbx\"]\nfailover = { codes = [486] }",
            "failover code 486 is an answer: no other target is tried after it",
        ),
        (
            to,
            "to = [\"pbx\"]\nfailover = { codes = [99] }",
            "an entry of `codes` is wrong, expected a list of final status codes such as [408, \
             \"500-599\"]",
        ),
        (
            to,
            "to = [\"pbx\"]\nresources = [\"chanels\"]",
            "no resource is called \"chanels\"; there is none",
        ),
        (to, "to = []", "`to` of a route names no upstream"),
    ] {
        assert_eq!(complaint(old, new), expected);
    }
}

/// What spec §19 shows of the peers, pools and registrations of this edition.
const SKETCH: &str = r#"
[edge]
domains = ["example.com"]
server_header = "Edge"
[[zone]]
name = "public"
[[zone.listen]]
proto = "udp"
bind = "0.0.0.0:5060"
[[zone]]
name = "core"
trust = "inside"
[[zone.listen]]
proto = "udp"
bind = "10.0.0.10:5060"
[[peer]]
name = "carrier-a"
zone = "public"
source = ["203.0.113.0/29"]
targets = ["sip:203.0.113.1:5060"]
limits = { calls = 400, cps = 40 }
[[upstream]]
name = "pbx"
zone = "core"
algorithm = "hash:user"
probe = "always"
[[upstream.target]]
uri = "sip:10.0.0.21:5060"
resources = { channels = 300 }
[[route]]
match = { domain = "example.com" }
to = ["pbx"]
failover = { codes = [408, 500, 503], answer_timeout = "4s", ring_timeout = "120s" }
[[route]]
match = { from_zone = "core" }
to = ["carrier-a"]
[register]
mode = "path"
upstream = "pbx"
nat_ping = { every = "25s", method = "options" }
[[screen.rate]]
name = "gw"
key = "{ruri.user}"
methods = ["INVITE"]
rate = 50
burst = 50
"#;

#[test]
fn peers_have_targets_and_registrations_an_upstream() {
    let (found, problems) = reading(SKETCH);
    assert_eq!(problems, []);
    let config = found.unwrap().config;
    assert_eq!(config.server_header, "Edge");
    let carrier = PoolConfig::new("carrier-a", "public", &["sip:203.0.113.1:5060"]);
    assert_eq!(config.upstreams[0], carrier);
    let registrations = RouteMatch {
        methods: vec!["REGISTER".to_owned()],
        ..RouteMatch::default()
    };
    assert_eq!(config.routes[0], RouteConfig::new(registrations, &["pbx"]));
    assert_eq!(
        config.routes[2].to,
        RouteTo::Pools(vec!["carrier-a".to_owned()])
    );
    crate::proxy::Routing::new(&config).unwrap();
}

#[test]
fn mistakes_in_targets_of_peers_and_in_the_registrar_are_told() {
    for (old, new, expected) in [
        (
            "targets = [\"sip:203.0.113.1:5060\"]",
            "targets = [\"203.0.113.1\"]",
            "`uri` is \"203.0.113.1\", expected a SIP URI",
        ),
        (
            "upstream = \"pbx\"",
            "upstream = \"pbz\"",
            "no upstream is called \"pbz\"; did you mean \"pbx\"?",
        ),
        (
            "zone = \"public\"\nsource",
            "source",
            "a peer with `targets` has to say in which `zone` they are",
        ),
        (
            "name = \"carrier-a\"",
            "name = \"pbx\"",
            "there are two upstreams called \"pbx\"",
        ),
        (
            "server_header = \"Edge\"",
            "server_header = \"Edge\\r\"",
            "`server_header` is no printable text",
        ),
    ] {
        let text = SKETCH.replacen(old, new, 1);
        assert_ne!(text, SKETCH, "{old}");
        let (_, problems) = reading(&text);
        let told = problems
            .iter()
            .any(|(line, message)| *line > 0 && message.starts_with(expected));
        assert!(told, "{expected}: {problems:?}");
    }
}

const ZONE: &str = "[[zone]]\nname = \"public\"\n";

#[test]
fn admin_sockets_are_read() {
    let text = format!(
        "{ZONE}[admin]\nunix = {{ path = \"run/edge.sock\", mode = \"0660\", group = \"ops\" }}\n\
         http = {{ bind = \"127.0.0.1:8090\", tokens = \"tokens.toml\" }}\n"
    );
    let (found, problems) = reading(&text);
    assert_eq!(problems, []);
    let config = found.unwrap().config;
    assert_eq!(config.drain, Duration::from_secs(30));
    let unix = config.admin.unix.unwrap();
    assert_eq!(unix.path, PathBuf::from("/etc/windlass/run/edge.sock"));
    assert_eq!((unix.mode, unix.group.as_deref()), (0o660, Some("ops")));
    let http = config.admin.http.unwrap();
    assert_eq!(http.bind, "127.0.0.1:8090".parse().unwrap());
    assert_eq!(http.tokens, PathBuf::from("/etc/windlass/tokens.toml"));
    let (found, problems) = reading(&format!("{ZONE}[admin]\nunix = \"/run/e.sock\"\n"));
    assert_eq!(problems, []);
    let unix = found.unwrap().config.admin.unix.unwrap();
    assert_eq!((unix.path, unix.mode), ("/run/e.sock".into(), 0o600));
}

#[test]
fn admin_mistakes_have_their_places() {
    let text = format!(
        "{ZONE}[admin]\nunix = {{ path = \"a\", mode = \"rw\" }}\n\
         http = {{ bind = \"192.0.2.1:80\", tokens = \"t\", client_ca = \"c\" }}\n"
    );
    let (_, problems) = reading(&text);
    let said: Vec<String> = problems
        .iter()
        .map(|(line, message)| format!("{line} {message}"))
        .collect();
    assert_eq!(
        said,
        [
            "4 `mode` is \"rw\", expected rights such as \"0660\"",
            "5 `client_ca` is for TLS, and there is no `cert`",
            "5 192.0.2.1:80 is no loopback address: tokens would cross the network in the clear; \
             give `cert`",
        ]
    );
}
