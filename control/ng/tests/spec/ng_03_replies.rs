//! ng-protocol §3: the shape of replies.

use super::*;
use windlass_ng::errors::{LOAD_LIMIT, SESSION_LIMIT};
use windlass_ng::{Encoding, Reply};

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
