mod admin;
mod link;
mod route;
mod screen;

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
shards = 4

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
    assert_eq!((config.tables.dialogs, config.shards), (2000, 4));
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
