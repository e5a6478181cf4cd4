//! What holds between zones, what they strip, and the keys of tokens.

use super::{WHOLE, reading};
use crate::config::{Config, History, OnBadToken, PoolConfig, TokenSecret};

/// The whole file with more in its `[[link]]`.
fn linked(more: &str) -> String {
    let old = "session_timer = { min_se = 120, insert = true, interval = \"1h\" }";
    WHOLE.replacen(old, &format!("{old}\n{more}"), 1)
}

fn accepted(text: &str) -> Config {
    let (read, problems) = reading(text);
    assert_eq!(problems, []);
    read.unwrap().config
}

/// The first thing that is said of a text.
fn complaint(text: &str) -> String {
    let (_, problems) = reading(text);
    let first = problems.into_iter().next();
    first.expect("nothing is said").1
}

#[test]
fn link_says_how_its_zones_hide() {
    let config = accepted(WHOLE);
    assert!(config.links[0].hide.is_none());
    let config = accepted(&linked("hide = true"));
    let hide = config.links[0].hide.as_ref().unwrap();
    assert_eq!(config.links[0].zones, [0, 1]);
    assert!(hide.user && !hide.call_id && hide.agent.is_none());
    assert_eq!(hide.history, History::Hosts);
    let config = accepted(&linked(
        "hide = true\nhide_callid = true\nhide_user = false\nhistory = \"remove\"\n\
         agent = \"Example\"\npass_params = [\"X-A\"]\npass_uri_params = [\"user\"]",
    ));
    let hide = config.links[0].hide.as_ref().unwrap();
    assert!(!hide.user && hide.call_id);
    assert_eq!(
        (hide.history, hide.agent.as_deref()),
        (History::Remove, Some("Example"))
    );
    assert!(hide.passes_param(b"x-a") && hide.passes_param(b"+sip.x"));
    assert!(!hide.passes_param(b"x-b") && hide.passes_uri_param(b"USER"));
}

#[test]
fn mistakes_of_links_are_named() {
    let second = "\n[[link]]\nzones = [\"core\", \"public\"]\n";
    for (text, expected) in [
        (
            linked("hide_callid = true"),
            "`hide_callid` has no meaning without `hide = true`",
        ),
        (
            linked("hide = true\nhistory = \"hide\""),
            "`history` is \"hide\", expected one of keep, hosts, remove",
        ),
        (
            linked("hide = true\nagent = \"a\\nb\""),
            "`agent` is a text of one line such as \"Example\"",
        ),
        (
            linked("hide = true\npass_params = [\"a b\"]"),
            "\"a b\" is no name of a parameter",
        ),
        (
            linked("hide = true\npass_uri_params = [\"did\"]"),
            "`pass_uri_params` cannot have \"did\", which is ours",
        ),
        (
            format!("{WHOLE}{second}"),
            "there is a link between these zones already",
        ),
        (
            format!("{WHOLE}\n[[link]]\nzones = [\"core\"]\n"),
            "`zones` of a link are two",
        ),
        (
            linked("hide_call_id = true"),
            "unknown key `hide_call_id` in [link]; did you mean `hide_callid`?",
        ),
    ] {
        assert_eq!(complaint(&text), expected);
    }
}

#[test]
fn zones_and_peers_say_what_they_strip() {
    let zone = WHOLE.replacen(
        "trust = \"untrusted\"",
        "trust = \"untrusted\"\nbad_token = \"drop\"\nstrip = { in = [\"X-*\"] }",
        1,
    );
    let peer = "\n[[peer]]\nname = \"carrier\"\nzone = \"public\"\nsource = [\"203.0.113.1\"]\n\
                targets = [\"sip:203.0.113.1\", \"sip:203.0.113.2\"]\nstrip = { out = [\"P-*\"] }\n\
                [[route]]\nmatch = { from_zone = \"core\" }\nto = [\"carrier\"]\n";
    let config = accepted(&format!("{zone}{peer}"));
    assert_eq!(config.zones[0].on_bad_token, OnBadToken::Drop);
    assert_eq!(config.zones[0].strip.inward, ["X-*"]);
    let peers = &config.screen.as_ref().unwrap().peers;
    assert_eq!(peers[0].strip.outward, ["P-*"]);
    let uris = ["sip:203.0.113.1", "sip:203.0.113.2"];
    let pool = PoolConfig::new("carrier", "public", &uris);
    assert!(config.upstreams.contains(&pool), "{:?}", config.upstreams);
    let broken = |old: &str, new: &str| complaint(&format!("{zone}{peer}").replacen(old, new, 1));
    for (old, new, expected) in [
        (
            "\"X-*\"",
            "\"Via\"",
            "\"Via\": no message works without Via",
        ),
        (
            "\"X-*\"",
            "\"X Y\"",
            "\"X Y\": a header is a name such as \"X-Account\", with * for any letters",
        ),
        (
            "name = \"carrier\"\nzone = \"public\"",
            "name = \"carrier\"",
            "a peer with `targets` has to say in which `zone` they are",
        ),
        (
            "\"sip:203.0.113.2\"",
            "\"sip:203.0.113.1\"",
            "the upstream has two targets \"sip:203.0.113.1\"",
        ),
        (
            "[\"sip:203.0.113.1\", \"sip:203.0.113.2\"]",
            "[]",
            "`targets` of a peer name none",
        ),
        (
            "name = \"carrier\"",
            "name = \"pbx\"",
            "there are two upstreams called \"pbx\"",
        ),
    ] {
        assert_eq!(broken(old, new), expected, "{new}");
    }
}

#[test]
fn keys_of_tokens_are_in_files() {
    let folder = std::env::temp_dir().join(format!("windlass-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (new, old) = (file("new", &"0f".repeat(32)), file("old", &"a0".repeat(32)));
    let bad = file("bad", "secret");
    let with = |keys: &str| WHOLE.replacen("calls = 2000", &format!("calls = 2000\n{keys}"), 1);
    let config = accepted(&with(&format!(
        "token_keys = [\"{new}\", \"{old}\"]\ncallid_prefix = \"box2.\""
    )));
    let secret = |byte| TokenSecret::new([byte; TokenSecret::BYTES]);
    assert_eq!(config.token_secrets, [secret(0x0f), secret(0xa0)]);
    assert_eq!(config.call_id_prefix, "box2.");
    let said = complaint(&with(&format!("token_keys = [\"{bad}\"]")));
    assert!(
        said.contains("a token key is 64 hexadecimal digits"),
        "{said}"
    );
    let said = complaint(&with("token_keys = [\"/nowhere/key\"]"));
    assert!(said.starts_with("/nowhere/key: "), "{said}");
    let three = format!("token_keys = [\"{new}\", \"{old}\", \"{new}\"]");
    let said = complaint(&with(&three));
    assert!(said.starts_with("`token_keys` are two at most"), "{said}");
    let said = complaint(&with("callid_prefix = \"a b\""));
    assert!(said.starts_with("`callid_prefix` is \"a b\""), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}
