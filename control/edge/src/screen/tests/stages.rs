use super::super::config::Rate;
use super::super::fingerprint::{PatternError, header_order};
use super::super::verdict::{Refusal, Said, Step};
use super::*;
use crate::limit::{Limit, Pace, Template};

const STRANGER: &str = "192.0.2.50:5060";

#[test]
fn an_ordinary_call_passes_every_stage() {
    let bench = Bench::new(config());
    let seen = request(udp(STRANGER), "INVITE");
    let (verdict, steps) = bench.screen.explain(&seen, bench.now);
    assert_eq!(verdict.action, Action::Pass);
    let stages: Vec<_> = steps.iter().map(|step| step.stage).collect();
    assert_eq!(stages, Stage::ALL);
    assert!(
        steps
            .iter()
            .all(|s| matches!(s.said, Said::Next | Said::Skipped))
    );
    assert_eq!(bench.judge(&seen).action, Action::Pass);
}

#[test]
fn explain_leaves_no_trace() {
    let mut config = config();
    config.limits = vec![Limit {
        calls: Some(1),
        ..Limit::new("one", Template::parse("{src_ip}").unwrap())
    }];
    let bench = Bench::new(config);
    let scan = Seen {
        user_agent: b"sipvicious",
        ..request(udp(STRANGER), "INVITE")
    };
    for _ in 0..100 {
        let (verdict, steps) = bench.screen.explain(&scan, bench.now);
        assert_eq!(verdict.action, Action::Drop);
        let last = steps.last().unwrap();
        assert_eq!(last.stage, Stage::Fingerprints);
        assert!(matches!(last.said, Said::Objects("User-Agent", Do::Ban(_))));
        let call = request(udp(STRANGER), "INVITE");
        assert_eq!(
            bench.screen.explain(&call, bench.now).0.action,
            Action::Pass
        );
    }
    assert!(bench.bans().is_empty());
    assert_eq!(bench.early(STRANGER).action, Action::Pass);
    bench.judge(&scan);
    let (_, steps) = bench.screen.explain(&scan, bench.now);
    let denied = Step {
        stage: Stage::Bans,
        said: Said::Objects("banned", Do::Drop),
    };
    assert_eq!(steps, [denied]);
}

#[test]
fn shipped_fingerprints_find_scanners_and_leave_phones() {
    let bench = Bench::new(config());
    let base = request(udp(STRANGER), "OPTIONS");
    let find = |seen: Seen<'_>| bench.screen.fingerprints.find(&seen);
    for agent in [
        "friendly-scanner",
        "SIPVicious 0.3",
        "sipcli/v1.8",
        "sundayddr",
        "sipsak 0.9.8",
        "VaxSIPUserAgent/3.1",
        "iWar",
        "sivus",
        "smap 0.6",
        "pplsip",
        "VoIP SIP v11.0.0",
    ] {
        let user_agent = agent.as_bytes();
        assert_eq!(
            find(Seen { user_agent, ..base }),
            Some("User-Agent"),
            "{agent}"
        );
    }
    for agent in [
        "Yealink SIP-T46S 66.84.0.15",
        "Grandstream GXP2170 1.0.9",
        "Linphone/5.0",
        "baresip v3",
        "Asterisk PBX 20",
        "FreeSWITCH-mod_sofia/1.10",
        "Cisco-SIPGateway/IOS-12.x",
        "",
    ] {
        let user_agent = agent.as_bytes();
        assert_eq!(find(Seen { user_agent, ..base }), None, "{agent}");
    }
    assert_eq!(
        find(Seen {
            from_host: b"1.1.1.1",
            ..base
        }),
        Some("From host")
    );
    assert_eq!(
        find(Seen {
            from_user: b"nm",
            ..base
        }),
        Some("From user")
    );
    let from_display = b"\"sipvicious\"";
    assert_eq!(
        find(Seen {
            from_display,
            ..base
        }),
        Some("From display name")
    );
}

#[test]
fn operators_add_fingerprints() {
    let mut config = config();
    let order = header_order([&b"Via"[..], b"To", b"From"]);
    assert_eq!(order, header_order([&b"VIA"[..], b"to", b"From"]));
    assert_ne!(order, header_order([&b"Via"[..], b"From", b"To"]));
    let list = |text: &str| vec![text.to_owned()];
    let p = &mut config.fingerprints;
    p.use_shipped = false;
    p.user_agent = list("(?i)mass-?scan");
    p.call_id = list("^[0-9]{20}$");
    p.to_user = list("1000");
    p.contact_host = list("Evil.example");
    p.ruri_user = list("00972");
    p.header_order = vec![order];
    let bench = Bench::new(config);
    let base = request(udp(STRANGER), "INVITE");
    let find = |seen: Seen<'_>| bench.screen.fingerprints.find(&seen);
    assert_eq!(find(base), None);
    assert_eq!(
        find(Seen {
            user_agent: b"sipvicious",
            ..base
        }),
        None
    );
    assert_eq!(
        find(Seen {
            user_agent: b"MassScan",
            ..base
        }),
        Some("User-Agent")
    );
    assert_eq!(
        find(Seen {
            call_id: b"12345678901234567890",
            ..base
        }),
        Some("Call-ID")
    );
    assert_eq!(
        find(Seen {
            to_user: b"1000",
            ..base
        }),
        Some("To")
    );
    assert_eq!(
        find(Seen {
            contact_host: b"evil.EXAMPLE",
            ..base
        }),
        Some("Contact")
    );
    assert_eq!(
        find(Seen {
            ruri_user: b"00972",
            ..base
        }),
        Some("Request-URI user")
    );
    assert_eq!(
        find(Seen {
            header_order: order,
            ..base
        }),
        Some("header order")
    );
}

#[test]
fn patterns_that_are_wrong_or_too_large_are_refused() {
    for pattern in ["(", "(a{1000}){1000}{1000}"] {
        let mut config = config();
        config.fingerprints.user_agent = vec![pattern.to_owned()];
        let error = Screen::new(config, Arc::default(), origin()).unwrap_err();
        let is_named = matches!(
            error,
            PatternError::Regex {
                field: "user_agent",
                ..
            }
        );
        assert!(is_named, "{error}");
    }
}

#[test]
fn all_that_is_wrong_with_a_configuration_is_told() {
    assert_eq!(config().check(), []);
    let mut config = config();
    set(&mut config, Stage::Flood, Do::Reject(503));
    set(&mut config, Stage::Bans, Do::Ban(None));
    set(&mut config, Stage::Lists, Do::Reject(200));
    config.zones[1].flood.window = Duration::ZERO;
    config.zones[2].name = "public".to_owned();
    config.peers[0].zone = Some(3);
    config.limits = vec![Limit::new("x", Template::parse("{user}").unwrap())];
    config.untrusted_share = 101;
    let told: Vec<_> = config.check().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "zone public: stage bans acts before a message is parsed and cannot ban",
            "zone public: stage flood acts before a message is parsed and cannot reject",
            "zone public: stage lists rejects with 200, not with 400 to 699",
            "zone carriers: the window of a flood is zero",
            "peer \"carrier\" is in a zone that is not there",
            "limit \"x\": neither calls at once, nor calls a second, nor a longest call",
            "untrusted_share is 101 percent of 100",
            "two zones are called \"public\"",
        ]
    );
}

#[test]
fn methods_that_are_not_allowed_get_405_with_allow() {
    let bench = Bench::new(config());
    let verdict = bench.judge(&request(udp(STRANGER), "MESSAGE"));
    let Action::Reject(refusal) = verdict.action else {
        panic!("{verdict:?}");
    };
    assert_eq!((refusal.code, refusal.allow), (405, true));
    assert_eq!(events(&verdict), [Event::MethodDenied]);
    assert!(
        bench
            .screen
            .allowed_methods(0)
            .contains(&"INVITE".to_owned())
    );
    // Methods are compared with case (RFC 3261 §7.1).
    assert_eq!(
        code(&bench.judge(&request(udp(STRANGER), "invite"))),
        Some(405)
    );
    let inside = Arrival {
        zone: 2,
        ..udp(STRANGER)
    };
    assert_eq!(
        bench.judge(&request(inside, "!interesting-Method")).action,
        Action::Pass
    );
}

#[test]
fn options_to_us_are_answered_to_those_who_are_known() {
    let bench = Bench::new(config());
    let options = |from| Seen {
        to_us: true,
        ..request(udp(from), "OPTIONS")
    };
    let verdict = bench.judge(&options(STRANGER));
    assert_eq!(
        (verdict.action, verdict.stage),
        (Action::Drop, Some(Stage::Options))
    );
    assert!(verdict.alerts.is_empty() && verdict.banned.is_none());
    assert_eq!(
        bench.judge(&options("203.0.113.1:5060")).action,
        Action::Answer
    );
    let aors: [&[u8]; 1] = [b"100@example.com"];
    let phone = Seen {
        aors: &aors,
        ..options(STRANGER)
    };
    assert_eq!(bench.judge(&phone).action, Action::Answer);
    let through = request(udp(STRANGER), "OPTIONS");
    assert_eq!(bench.judge(&through).action, Action::Pass);
}

#[test]
fn a_known_dialog_skips_what_is_about_new_calls() {
    let mut config = config();
    config.zones[0].require_registered = true;
    let bench = Bench::new(config);
    let call = Seen {
        ruri_host: b"elsewhere.example",
        ..request(udp(STRANGER), "INVITE")
    };
    assert_eq!(code(&bench.judge(&call)), Some(403));
    let known = Seen {
        known_dialog: true,
        ..call
    };
    let verdict = bench.judge(&known);
    assert_eq!(
        (verdict.action, verdict.stage),
        (Action::Pass, Some(Stage::Dialog))
    );
    let scanner = Seen {
        user_agent: b"sipvicious",
        ..known
    };
    assert_eq!(bench.judge(&scanner).action, Action::Drop);
}

#[test]
fn peers_are_known_by_address_port_protocol_and_certificate() {
    let mut config = config();
    let source = peer_source("192.0.2.0/24");
    let peer = |name: &str, sources| Peer {
        name: name.to_owned(),
        sources,
        ..Peer::default()
    };
    let port = PeerSource {
        port: Some(5080),
        ..source.clone()
    };
    let protocol = PeerSource {
        protocol: Some("TCP".to_owned()),
        ..source.clone()
    };
    let certificate = PeerSource {
        certificate: Some("pbx.example".to_owned()),
        network: "0.0.0.0/0".parse().unwrap(),
        ..source
    };
    config.peers = vec![
        peer("port", vec![port]),
        peer("protocol", vec![protocol]),
        peer("certificate", vec![certificate]),
        Peer {
            zone: Some(1),
            ..peer("zone", vec![peer_source("198.51.100.0/24")])
        },
    ];
    let bench = Bench::new(config);
    let identify = |seen: Seen<'_>| bench.screen.identify(&seen);
    let invite = |arrival| request(arrival, "INVITE");
    assert_eq!(identify(invite(udp("192.0.2.9:5060"))), Identity::Unknown);
    assert_eq!(identify(invite(udp("192.0.2.9:5080"))), Identity::Peer(0));
    assert_eq!(identify(invite(tcp("192.0.2.9:4000"))), Identity::Peer(1));
    assert_eq!(identify(invite(tcp("10.0.0.1:4000"))), Identity::Unknown);
    let with_certificate = Seen {
        certificate: &["other.example", "PBX.example"],
        ..invite(tcp("10.0.0.1:4000"))
    };
    assert_eq!(identify(with_certificate), Identity::Peer(2));
    assert_eq!(
        identify(invite(udp("198.51.100.1:5060"))),
        Identity::Unknown
    );
    let zone = Arrival {
        zone: 1,
        ..udp("198.51.100.1:5060")
    };
    assert_eq!(identify(invite(zone)), Identity::Peer(3));
}

#[test]
fn a_call_from_an_unknown_source_is_refused_if_registration_is_required() {
    let mut config = config();
    config.zones[0].require_registered = true;
    let bench = Bench::new(config);
    let call = request(udp(STRANGER), "INVITE");
    let verdict = bench.judge(&call);
    assert_eq!(code(&verdict), Some(403));
    assert_eq!(events(&verdict), [Event::InviteFromUnknownSource]);
    assert_eq!(
        bench.judge(&request(udp(STRANGER), "REGISTER")).action,
        Action::Pass
    );
    let peer = bench.judge(&request(udp("203.0.113.1:5060"), "INVITE"));
    assert_eq!(
        (peer.action, peer.identity),
        (Action::Pass, Identity::Peer(0))
    );
    let aors: [&[u8]; 1] = [b"100@example.com"];
    let phone = bench.judge(&Seen {
        aors: &aors,
        ..call
    });
    assert_eq!(
        (phone.action, phone.identity),
        (Action::Pass, Identity::Registered)
    );
}

#[test]
fn foreign_domains_are_refused() {
    let bench = Bench::new(config());
    let elsewhere = Seen {
        ruri_host: b"elsewhere.example",
        ..request(udp(STRANGER), "INVITE")
    };
    let verdict = bench.judge(&elsewhere);
    assert_eq!(code(&verdict), Some(403));
    assert_eq!(events(&verdict), [Event::RequestToUnknownDestination]);
    let to_us = Seen {
        to_us: true,
        ..elsewhere
    };
    assert_eq!(bench.judge(&to_us).action, Action::Pass);
    let upper = Seen {
        ruri_host: b"EXAMPLE.com",
        ..elsewhere
    };
    assert_eq!(bench.judge(&upper).action, Action::Pass);
    let mut config = config();
    config.domains = vec!["*.example.com".to_owned()];
    let below = Bench::new(config);
    for (host, passes) in [
        (&b"a.b.EXAMPLE.com"[..], true),
        (b"example.com", false),
        (b".example.com", false),
        (b"badexample.com", false),
    ] {
        let seen = Seen {
            ruri_host: host,
            ..elsewhere
        };
        let action = below.judge(&seen).action;
        assert_eq!(action == Action::Pass, passes, "{}", host.escape_ascii());
    }
    let register = Seen {
        to_host: b"elsewhere.example",
        to_us: true,
        ..request(udp(STRANGER), "REGISTER")
    };
    let verdict = bench.judge(&register);
    assert_eq!(events(&verdict), [Event::RegisterWrongDomain]);
    let ack = Seen {
        method: b"ACK",
        ..elsewhere
    };
    assert_eq!(bench.judge(&ack).action, Action::Pass, "never answered");
}

#[test]
fn from_names_a_user_of_the_flow() {
    let mut config = config();
    config.peers[0].users = vec!["trunk".to_owned()];
    let bench = Bench::new(config);
    let aors: [&[u8]; 2] = [b"100@example.com", b"101@example.com"];
    let call = |from_user: &'static [u8], asserted_user: &'static [u8]| Seen {
        from_user,
        asserted_user,
        aors: &aors,
        ..request(udp(STRANGER), "INVITE")
    };
    assert_eq!(bench.judge(&call(b"101", b"")).action, Action::Pass);
    assert_eq!(bench.judge(&call(b"101", b"100")).action, Action::Pass);
    assert_eq!(code(&bench.judge(&call(b"102", b""))), Some(403));
    assert_eq!(code(&bench.judge(&call(b"100", b"102"))), Some(403));
    let anonymous = Seen {
        from_host: b"anonymous.invalid",
        ..call(b"anonymous", b"100")
    };
    assert_eq!(bench.judge(&anonymous).action, Action::Pass);
    let second_line = Seen {
        method: b"REGISTER",
        ..call(b"102", b"")
    };
    assert_eq!(bench.judge(&second_line).action, Action::Pass);
    let trunk = |from_user: &'static [u8]| Seen {
        from_user,
        ..request(udp("203.0.113.1:5060"), "INVITE")
    };
    assert_eq!(bench.judge(&trunk(b"trunk")).action, Action::Pass);
    assert_eq!(code(&bench.judge(&trunk(b"100"))), Some(403));
}

#[test]
fn a_rate_class_refuses_with_the_time_to_wait() {
    let mut config = config();
    config.rates = vec![Rate {
        name: "gw".to_owned(),
        key: Template::parse("{ruri.user}").unwrap(),
        methods: vec!["INVITE".to_owned()],
        rate: 2,
        burst: 4,
    }];
    let mut bench = Bench::new(config);
    let to = |user: &'static [u8], method| Seen {
        ruri_user: user,
        ..request(udp(STRANGER), method)
    };
    for _ in 0..4 {
        assert_eq!(bench.judge(&to(b"200", "INVITE")).action, Action::Pass);
    }
    let verdict = bench.judge(&to(b"200", "INVITE"));
    let Action::Reject(refusal) = verdict.action else {
        panic!("{verdict:?}");
    };
    assert_eq!((refusal.code, refusal.retry_after), (503, Some(1)));
    assert_eq!(verdict.class.as_deref(), Some("gw"));
    assert_eq!(events(&verdict), [Event::LimitExceeded]);
    assert_eq!(bench.judge(&to(b"201", "INVITE")).action, Action::Pass);
    assert_eq!(bench.judge(&to(b"200", "REGISTER")).action, Action::Pass);
    bench.pass_ms(500);
    assert_eq!(bench.judge(&to(b"200", "INVITE")).action, Action::Pass);
    assert_eq!(code(&bench.judge(&to(b"200", "INVITE"))), Some(503));
}

#[test]
fn a_call_holds_its_place_until_its_verdict_is_dropped() {
    let mut config = config();
    config.limits = vec![Limit {
        calls: Some(2),
        cps: Some(Pace {
            rate: 10,
            burst: 10,
        }),
        code: 486,
        ..Limit::new("per-user", Template::parse("{user}").unwrap())
    }];
    let bench = Bench::new(config);
    let call = request(udp(STRANGER), "INVITE");
    let first = bench.judge(&call);
    let second = bench.judge(&call);
    let third = bench.judge(&call);
    assert_eq!(code(&third), Some(486));
    assert!(third.slots.is_none());
    assert_eq!(third.class.as_deref(), Some("per-user"));
    assert_eq!(
        bench.screen.limits().usage("per-user"),
        [(b"192.0.2.50".to_vec(), 2)]
    );
    let accepted = Seen {
        accepted_user: Some(b"100@example.com"),
        ..call
    };
    assert_eq!(bench.judge(&accepted).action, Action::Pass);
    drop(first.slots);
    assert_eq!(bench.judge(&call).action, Action::Pass);
    drop(second);
    assert_eq!(bench.screen.limits().size("per-user", b"192.0.2.50"), 0);
}

#[test]
fn actions_do_what_they_say() {
    let all = [
        (Do::Drop, Action::Drop, Action::Drop),
        (Do::Close, Action::Drop, Action::Close),
        (Do::Tarpit, Action::Drop, Action::Tarpit),
        (
            Do::Ban(Some(Duration::from_secs(5))),
            Action::Drop,
            Action::Drop,
        ),
        (Do::Count, Action::Pass, Action::Pass),
        (Do::Allow, Action::Pass, Action::Pass),
    ];
    for (todo, over_udp, over_tcp) in all {
        let mut config = config();
        set(&mut config, Stage::Methods, todo);
        let bench = Bench::new(config);
        let verdict = bench.judge(&request(udp(STRANGER), "PUBLISH"));
        assert_eq!(verdict.action, over_udp, "{todo:?}");
        assert_eq!(events(&verdict), [Event::MethodDenied], "{todo:?}");
        let lasts = verdict.banned.map(|banned| banned.lasts.as_secs());
        assert_eq!(lasts, matches!(todo, Do::Ban(_)).then_some(5));
        let verdict = bench.judge(&request(tcp("192.0.2.51:5060"), "PUBLISH"));
        assert_eq!(verdict.action, over_tcp, "{todo:?}");
    }
    // `allow` ends the pipeline, `count` does not.
    for (todo, is_refused) in [(Do::Count, true), (Do::Allow, false)] {
        let mut config = config();
        set(&mut config, Stage::Methods, todo);
        let bench = Bench::new(config);
        let elsewhere = Seen {
            ruri_host: b"elsewhere.example",
            ..request(udp(STRANGER), "PUBLISH")
        };
        assert_eq!(code(&bench.judge(&elsewhere)).is_some(), is_refused);
    }
}

#[test]
fn malformed_messages_are_told_after_three_a_minute() {
    let mut bench = Bench::new(config());
    let malformed = |bench: &Bench, zone| {
        let arrival = Arrival {
            zone,
            ..udp(STRANGER)
        };
        let verdict = bench.screen.judge_malformed(&arrival, bench.now);
        (verdict.action, events(&verdict).len())
    };
    for told in [0, 0, 0, 1, 1] {
        assert_eq!(malformed(&bench, 0), (Action::Drop, told));
    }
    bench.pass_s(60);
    let (action, told) = malformed(&bench, 2);
    assert!(matches!(action, Action::Reject(Refusal { code: 400, .. })));
    assert_eq!(told, 0);
}
