//! The admin interface.

use super::*;

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
