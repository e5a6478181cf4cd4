//! ng-protocol §3: the shape of replies, and who gets one again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::*;
use windlass_ng::errors::{LOAD_LIMIT, SESSION_LIMIT};
use windlass_ng::serve::Shared;
use windlass_ng::{Encoding, Handler, Reply, Source, Transport};

fn written(reply: Reply, encoding: Encoding) -> String {
    let mut out = b"cookie ".to_vec();
    reply.write(encoding, usize::MAX, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn the_result_comes_after_what_the_command_says() {
    let body = || Dict::new().with("sdp", "v=0");
    for (reply, bencode, json) in [
        (Reply::pong(), "d6:result4:ponge", r#"{"result":"pong"}"#),
        (
            Reply::ok(body()),
            "d3:sdp3:v=06:result2:oke",
            r#"{"sdp":"v=0","result":"ok"}"#,
        ),
        (
            Reply::error("Unrecognized command"),
            "d6:result5:error12:error-reason20:Unrecognized commande",
            r#"{"result":"error","error-reason":"Unrecognized command"}"#,
        ),
        (
            Reply::warning(Dict::new(), "w"),
            "d7:warning1:w6:result2:oke",
            r#"{"warning":"w","result":"ok"}"#,
        ),
        (
            Reply::load_limit(true, LOAD_LIMIT),
            "d7:message19:Load limit exceeded6:result10:load limite",
            r#"{"message":"Load limit exceeded","result":"load limit"}"#,
        ),
        // Without `supports` there is one error for any limit.
        (
            Reply::load_limit(false, LOAD_LIMIT),
            "d6:result5:error12:error-reason30:Parallel session limit reachede",
            r#"{"result":"error","error-reason":"Parallel session limit reached"}"#,
        ),
        (
            Reply::load_limit(true, SESSION_LIMIT),
            "d7:message30:Parallel session limit reached6:result10:load limite",
            r#"{"message":"Parallel session limit reached","result":"load limit"}"#,
        ),
    ] {
        let with_cookie = |text| format!("cookie {text}");
        assert_eq!(
            written(reply.clone(), Encoding::Bencode),
            with_cookie(bencode)
        );
        assert_eq!(written(reply, Encoding::Json), with_cookie(json));
    }
}

/// Says how often it was asked.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Handler for Counting {
    fn handle(&self, _: &Request, _: &Source) -> Reply {
        let count = self.0.fetch_add(1, Relaxed) + 1;
        Reply::ok(Dict::new().with("n", count as u64))
    }
}

fn source(transport: Transport, port: u16) -> Source {
    Source {
        addr: ([127, 0, 0, 1], port).into(),
        local: None,
        transport,
    }
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "any time does")]
    Instant::now()
}

#[test]
fn a_reply_is_given_again_for_thirty_to_sixty_seconds() {
    let shared = Shared::new(Arc::new(Counting::default()));
    let t0 = start();
    let ask = |second, cookie: &str| {
        let message = format!("{cookie} d7:command4:liste");
        let now = t0 + Duration::from_secs(second);
        let reply = shared.respond(message.as_bytes(), &source(Transport::Udp, 1), now);
        String::from_utf8(reply.unwrap().to_vec()).unwrap()
    };
    // The generations of a cookie are swapped by whoever asks for it.
    for (second, executed) in [
        (0, 1),
        (29, 1),
        (30, 1),
        (59, 1),
        (60, 2),
        (89, 2),
        (119, 2),
        (149, 3),
        // Nobody asked for a long time.
        (1_000, 4),
    ] {
        let expected = format!("a d1:ni{executed}e6:result2:oke");
        assert_eq!(ask(second, "a"), expected, "after {second} s");
    }
}

#[test]
fn duplicates_are_known_from_every_transport_and_port_but_not_when_plain() {
    let shared = Shared::new(Arc::new(Counting::default()));
    let now = start();
    for (transport, port) in [
        (Transport::Udp, 1),
        (Transport::Udp, 2),
        (Transport::Tcp, 3),
        (Transport::Http, 4),
        (Transport::SecureWebSocket, 5),
    ] {
        // Another payload would be another request (security promise 12).
        let message = b"same d7:command4:list5:limiti1ee";
        let reply = shared.respond(message, &source(transport, port), now);
        assert_eq!(reply.unwrap(), "same d1:ni1e6:result2:oke");
    }
    for count in [2, 3] {
        let reply = shared.respond_plain(b"d7:command4:liste", &source(Transport::Http, 4), now);
        let (reply, _) = reply.unwrap();
        assert_eq!(reply, format!("d1:ni{count}e6:result2:oke").into_bytes());
    }
}

#[test]
fn errors_are_kept_like_other_replies() {
    let shared = Shared::new(Arc::new(Counting::default()));
    let now = start();
    let ask = |message: &str| {
        let reply = shared.respond(message.as_bytes(), &source(Transport::Udp, 1), now);
        String::from_utf8(reply.unwrap().to_vec()).unwrap()
    };
    let error = "e d6:result5:error12:error-reason20:Unrecognized commande";
    assert_eq!(ask("e d7:command3:xxxe"), error);
    assert_eq!(ask("e d7:command3:xxxe"), error);
    // Names are exact but for one.
    for (cookie, name) in [("f", "List"), ("g", "LIST"), ("h", "list "), ("i", "Cli")] {
        let refused = ask(&format!("{cookie} d7:command{}:{name}e", name.len()));
        assert_eq!(refused, error.replacen('e', cookie, 1), "{name}");
    }
    assert_eq!(ask("c d7:command3:CLIe"), "c d1:ni1e6:result2:oke");
}
