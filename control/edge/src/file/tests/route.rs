//! Pools, routes, targets of peers and the registrar.

use super::*;

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
