//! The request path without sockets.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::{
    access::Rule,
    request::Command,
    value::{Dict, Value},
};

#[derive(Default)]
struct Recorder {
    handled: AtomicUsize,
    refused: Mutex<Vec<String>>,
}

impl Handler for Recorder {
    fn handle(&self, request: &Request, _: &Source) -> Reply {
        self.handled.fetch_add(1, Ordering::Relaxed);
        match request.command {
            Command::Ping => Reply::pong(),
            Command::Query => panic!("a fault on purpose"),
            Command::List => {
                Reply::ok(Dict::new().with("calls", vec!["x"; 40].into_iter().collect::<Value>()))
            }
            _ => Reply::ok(Dict::new().with_some("sdp", request.sdp.as_deref())),
        }
    }

    fn refused(&self, _: &Source, reason: &str) {
        self.refused.lock().unwrap().push(reason.to_owned());
    }
}

fn source() -> Source {
    Source {
        addr: ([127, 0, 0, 1], 1).into(),
        local: None,
        transport: Transport::Udp,
    }
}

fn ask(shared: &Shared, message: &[u8]) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "any time does")]
    let reply = shared.respond(message, &source(), Instant::now())?;
    Some(String::from_utf8(reply.to_vec()).unwrap())
}

#[test]
fn wire_examples() {
    let shared = Shared::new(Arc::new(Recorder::default()));
    for (message, reply) in [
        (&b"abc d7:command4:pinge"[..], "abc d6:result4:ponge"),
        (
            b"b d7:command3:xxxe",
            "b d6:result5:error12:error-reason20:Unrecognized commande",
        ),
        (b"c {\"command\":\"ping\"}", "c {\"result\":\"pong\"}"),
        (
            b"d {\"a",
            "d {\"result\":\"error\",\"error-reason\":\"Failed to parse JSON document\"}",
        ),
        (
            b"e x",
            "e d6:result5:error12:error-reason22:Invalid NG data formate",
        ),
        (
            b"f ",
            "f d6:result5:error12:error-reason25:Invalid data (no payload)e",
        ),
        (
            b"g d1:a",
            "g d6:result5:error12:error-reason35:Could not decode bencode dictionarye",
        ),
        (
            b"h d4:ping1:xe",
            "h d6:result5:error12:error-reason36:Dictionary contains no key \"command\"e",
        ),
        (
            b"i d7:commandi5ee",
            "i d6:result5:error12:error-reason36:Dictionary contains no key \"command\"e",
        ),
        (
            b"j  d7:command4:pinge",
            "j d6:result5:error12:error-reason22:Invalid NG data formate",
        ),
        (
            b"k d7:command6:answer3:sdp3:v=0e junk",
            "k d3:sdp3:v=06:result2:oke",
        ),
    ] {
        assert_eq!(ask(&shared, message).as_deref(), Some(reply));
    }
}

#[test]
fn no_cookie_no_reply() {
    let recorder = Arc::new(Recorder::default());
    let shared = Shared::new(recorder.clone());
    let long = [&[b'c'; COOKIE_BYTES + 1], &b" d7:command4:pinge"[..]].concat();
    for message in [&b""[..], b"abc", b" d7:command4:pinge", &long] {
        assert_eq!(ask(&shared, message), None);
    }
    assert_eq!(recorder.refused.lock().unwrap().len(), 4);
}

#[test]
fn a_duplicate_is_answered_alike_and_not_executed() {
    let recorder = Arc::new(Recorder::default());
    let shared = Shared::new(recorder.clone());
    let first = ask(&shared, b"a d7:command4:pinge");
    assert_eq!(ask(&shared, b"a d7:command4:pinge"), first);
    assert_eq!(recorder.handled.load(Ordering::Relaxed), 1);
    // Errors are cached too.
    let error = ask(&shared, b"e d7:command3:xxxe");
    assert_eq!(ask(&shared, b"e d7:command3:xxxe"), error);
}

#[test]
fn clients_that_count_alike_do_not_get_each_others_replies() {
    let recorder = Arc::new(Recorder::default());
    let shared = Shared::new(recorder.clone());
    let handled = || recorder.handled.load(Ordering::Relaxed);
    ask(&shared, b"1 d7:command4:liste").unwrap();
    // Another request under the cookie, and the same one of another host.
    let other = ask(&shared, b"1 d7:command4:pinge");
    assert_eq!(other.as_deref(), Some("1 d6:result4:ponge"));
    assert_eq!(handled(), 2);
    let mut neighbour = source();
    neighbour.addr = ([127, 0, 0, 2], 1).into();
    #[expect(clippy::disallowed_methods, reason = "any time does")]
    let now = Instant::now();
    shared
        .respond(b"1 d7:command4:liste", &neighbour, now)
        .unwrap();
    assert_eq!(handled(), 3);
    // The same host by another port: a proxy that opened its socket again.
    neighbour.addr = ([127, 0, 0, 1], 9).into();
    shared
        .respond(b"1 d7:command4:liste", &neighbour, now)
        .unwrap();
    assert_eq!(handled(), 3);
}

#[test]
fn a_panic_is_an_error_reply() {
    let shared = Shared::new(Arc::new(Recorder::default()));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let reply = ask(&shared, b"a d7:command5:querye");
    std::panic::set_hook(hook);
    assert_eq!(
        reply.as_deref(),
        Some("a d6:result5:error12:error-reason14:Internal errore")
    );
    assert!(ask(&shared, b"b d7:command4:pinge").is_some());
}

#[test]
fn access_is_asked_first_and_caps_replies() {
    let recorder = Arc::new(Recorder::default());
    let access = Arc::new(Access::new(Rule::Allow(Vec::new())));
    let shared = Shared::new(recorder.clone()).with_access(Arc::clone(&access));
    assert_eq!(ask(&shared, b"a d7:command4:pinge"), None);
    assert_eq!(access.refused(), 1);
    assert_eq!(*recorder.refused.lock().unwrap(), [NO_ACCESS]);

    struct Talkative;
    impl Handler for Talkative {
        fn handle(&self, _: &Request, _: &Source) -> Reply {
            let calls = vec!["x"; 4_000].into_iter().collect::<Value>();
            Reply::ok(Dict::new().with("calls", calls))
        }
    }
    let access = Access::new(Rule::Open).with_udp_reply_cap(1_200);
    let shared = Shared::new(Arc::new(Talkative)).with_access(Arc::new(access));
    let stranger = Source {
        addr: ([203, 0, 113, 5], 1).into(),
        ..source()
    };
    #[expect(clippy::disallowed_methods, reason = "any time does")]
    let now = Instant::now();
    for (request, most) in [
        ("a d7:command5:querye".to_owned(), 1_200),
        (
            format!("b d7:command5:query7:call-id800:{}e", "x".repeat(800)),
            4 * 837,
        ),
    ] {
        let reply = shared.respond(request.as_bytes(), &stranger, now).unwrap();
        let len = reply.len();
        assert!(most / 2 < len && len <= most, "{len} of {most}");
        assert!(String::from_utf8_lossy(&reply).contains("truncated"));
        // A source that cannot be forged gets all of it.
        let cookie = format!("c{request}");
        let reply = shared.respond(cookie.as_bytes(), &source(), now).unwrap();
        assert!(reply.len() > 8_000);
    }
}

#[test]
fn templates_apply_and_plain_needs_no_cookie() {
    struct Echo;
    impl Handler for Echo {
        fn handle(&self, request: &Request, _: &Source) -> Reply {
            Reply::ok(Dict::new().with("trust", request.flags.trust_address()))
        }
    }
    let shared = Shared::new(Arc::new(Echo));
    shared.set_templates([("default", "trust-address")].into_iter().collect());
    #[expect(clippy::disallowed_methods, reason = "any time does")]
    let now = Instant::now() + Duration::from_secs(1);
    for _ in 0..2 {
        let (reply, encoding) = shared
            .respond_plain(b"{\"command\":\"offer\"}", &source(), now)
            .unwrap();
        assert_eq!(encoding, Encoding::Json);
        assert_eq!(reply, b"{\"trust\":1,\"result\":\"ok\"}");
    }
}
