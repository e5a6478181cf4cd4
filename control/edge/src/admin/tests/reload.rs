//! Another configuration while calls go on (E28).

use parking_lot::Mutex;
use serde_json::json;

use super::*;

/// A file that the test writes.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    says: Mutex<Result<Config, Vec<String>>>,
}

impl ConfigSource for Source {
    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn read(&self) -> Result<Config, Vec<String>> {
        self.says.lock().clone()
    }
}

async fn reloadable(targets: &[SocketAddr]) -> (Running, Arc<Source>, Config) {
    let dir = Dir::new();
    let mut config = config(&dir, targets);
    let screen = config.screen.as_mut().unwrap();
    screen.flood.enabled = false;
    screen.lists.push(crate::guard::NumberList {
        name: "deny".to_owned(),
        file: dir.write("deny.csv", "prefix,action\n666,deny\n"),
        caller: false,
    });
    let source = Arc::new(Source {
        path: dir.0.join("windlass.toml"),
        says: Mutex::new(Ok(config.clone())),
    });
    let running = Running::of(dir, config.clone(), Some(source.clone())).await;
    (running, source, config)
}

#[tokio::test]
async fn calls_go_on_under_reloads() {
    let (mut caller, mut callee) = (Phone::new("127.0.0.1:0"), Phone::new("127.0.0.3:0"));
    let (running, source, config) = reloadable(&[callee.address()]).await;
    let edge = running.edge.local_addr();
    let mut other = config.clone();
    other.upstreams[0].targets[0].weight = 7;
    other.max_forwards = 50;
    for n in 0..40 {
        *source.says.lock() = Ok(if n % 2 == 0 {
            other.clone()
        } else {
            config.clone()
        });
        let call = format!("r{n}");
        let calling = set_up(edge, &mut caller, &mut callee, &call);
        let reloading = running.ask("POST", "/v1/reload", "");
        let (received, (status, said)) = tokio::join!(calling, reloading);
        assert_eq!(status, 200, "{said}");
        assert!(received.contains(&format!("Call-ID: {call}")), "{received}");
    }
    until(async || {
        let list = running.get("/v1/calls?state=confirmed&limit=100").await;
        list["calls"].as_array().unwrap().len() == 40
    })
    .await;
    assert_eq!(running.get("/v1/targets/pbx-1").await["calls"], 40);
}

#[tokio::test]
async fn new_target_and_list_are_in_force_and_what_changed_is_told() {
    let (mut caller, mut second) = (Phone::new("127.0.0.1:0"), Phone::new("127.0.0.3:0"));
    let first = Phone::new("127.0.0.3:0");
    let (running, source, mut config) = reloadable(&[first.address()]).await;
    let (us, edge) = (caller.address(), running.edge.local_addr());
    config.upstreams[0].targets[0].uri = format!("sip:{}", second.address());
    config.zones[0].listeners[0].bind = "127.0.0.1:5999".parse().unwrap();
    config.ng = "127.0.0.1:10".parse().unwrap();
    *source.says.lock() = Ok(config);
    running
        .dir
        .write("deny.csv", "prefix,action\n666,deny\n777,deny\n");
    let (status, said) = running.ask("POST", "/v1/reload", "").await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(said["changed"], json!(["upstreams", "certificates"]));
    assert_eq!(said["kept"], json!(["listeners of zone public", "ng"]));
    caller.send(&invite(us, edge, "100", "n1"), edge).await;
    second.recv("INVITE").await;
    caller.send(&invite(us, edge, "777", "n2"), edge).await;
    caller.recv("SIP/2.0 403").await;
}

#[tokio::test]
async fn broken_files_are_refused_with_their_lines_and_change_nothing() {
    let (mut caller, mut callee) = (Phone::new("127.0.0.1:0"), Phone::new("127.0.0.3:0"));
    let (running, source, config) = reloadable(&[callee.address()]).await;
    let (us, edge) = (caller.address(), running.edge.local_addr());
    let reload = async |body: &str| running.ask("POST", "/v1/reload", body).await;
    let mistake = "windlass.toml:7:1: unknown key `urii`";
    *source.says.lock() = Err(vec![mistake.to_owned()]);
    let (status, said) = reload("").await;
    assert_eq!(
        (status, &said["details"]),
        (422, &json!([mistake])),
        "{said}"
    );
    // A bad list refuses the whole, targets included.
    let mut other = config.clone();
    other.upstreams[0].targets[0].weight = 9;
    *source.says.lock() = Ok(other);
    running
        .dir
        .write("deny.csv", "prefix,action\n1,deny\n2,forbid\n");
    for body in ["", r#"{"file":"deny.csv"}"#, r#"{"file":"deny"}"#] {
        let (status, said) = reload(body).await;
        assert_eq!(status, 422, "{said}");
        let detail = said["details"][0].as_str().unwrap();
        assert!(
            detail.contains("deny.csv:3: \"forbid\" is no action"),
            "{detail}"
        );
    }
    assert_eq!(running.get("/v1/targets/pbx-1").await["weight"], 1);
    let mut other = config.clone();
    other.zones[1].name = "inside".to_owned();
    other.upstreams[0].zone = "inside".to_owned();
    *source.says.lock() = Ok(other);
    let (status, said) = reload("").await;
    let detail = said["details"][0].as_str().unwrap();
    assert_eq!(status, 422);
    assert!(
        detail.contains("public, core, not public, inside"),
        "{detail}"
    );
    let (status, said) = reload(r#"{"file":"nothing.csv"}"#).await;
    assert_eq!(
        (status, said["details"].as_array().unwrap().len()),
        (404, 3),
        "{said}"
    );
    // The list of before is in force.
    caller.send(&invite(us, edge, "1", "b1"), edge).await;
    callee.recv("INVITE").await;
    caller.send(&invite(us, edge, "666", "b2"), edge).await;
    caller.recv("SIP/2.0 403").await;
    running.dir.write("deny.csv", "prefix,action\n1,deny\n");
    assert_eq!(reload(r#"{"file":"deny"}"#).await.0, 200);
    caller.send(&invite(us, edge, "1", "b3"), edge).await;
    caller.recv("SIP/2.0 403").await;
}

#[tokio::test]
async fn new_tokens_hold_at_once() {
    let (running, _, _) = reloadable(&[]).await;
    let text = TOKENS.replace("oper-", "next-");
    running.dir.write("tokens.toml", &text);
    let (status, said) = running
        .ask("POST", "/v1/reload", r#"{"file":"tokens.toml"}"#)
        .await;
    assert_eq!(
        (status, &said["changed"]),
        (200, &json!(["tokens"])),
        "{said}"
    );
    running
        .dir
        .write("tokens.toml", "[[token]]\nname = \"x\"\n");
    let (status, said) = running.ask("POST", "/v1/reload", "").await;
    assert_eq!(status, 422, "{said}");
    let detail = said["details"][0].as_str().unwrap();
    assert!(
        detail.contains("tokens.toml:1:1: an entry has no `role`"),
        "{detail}"
    );
}
