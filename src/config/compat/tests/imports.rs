//! rtpengine's files become our own.

use windlass_ng::Network;

use super::*;

#[test]
fn import_names_what_it_leaves_out() {
    let text = "[rtpengine]\ninterface = pub/any;old=pub\nlisten-ng = 2223\nkernel-slots = 4\n\
                log-mark-prefix = \\s\"'\ntemplates = t\nmax-load = 3\n[t]\nx y = a\n";
    let toml = import(text, "rtpengine").unwrap();
    assert!(toml.contains("ignored: kernel-slots"), "{toml}");
    assert!(toml.contains("allow = [\"10.0.0.0/8\""), "{toml}");
    let config = file::parse(&toml, &Flags::default(), &names()).unwrap();
    assert_eq!(config.logical("old").count(), 3);
    assert_eq!(config.syslog.mark_prefix, "\"'");
    assert_eq!(config.templates["x y"], "a");
    assert_eq!(config.limits.max_load, Some(3.0));
    assert_eq!(config.access, allow(&Network::PRIVATE));
    assert!(import("[rtpengine]\ntimeout = x\n", "rtpengine").is_err());
    let by_name = "[rtpengine]\ninterface = eth0\nlisten-ng = ng.example.com:2223\n";
    let refused = import(by_name, "rtpengine").unwrap_err();
    assert!(refused[0].message.contains("ng.example.com"), "{refused:?}");
}

#[test]
fn import_writes_how_the_file_has_the_process_started() {
    let imported = |said: &str| {
        let text = format!("[rtpengine]\ninterface = 192.0.2.1\nlisten-ng = 127.0.0.1:1\n{said}");
        let toml = import(&text, "rtpengine").unwrap();
        let config = file::parse(&toml, &Flags::default(), &names()).unwrap();
        let (process, syslog) = (config.process, config.syslog);
        (process.background, syslog.engine, syslog.name)
    };
    for (said, background, syslog, name) in [
        // How it is started is said elsewhere.
        ("", false, false, "windlass"),
        (
            "foreground = true\nlog-stderr = true\n",
            false,
            false,
            "windlass",
        ),
        ("foreground = false\n", true, false, "windlass"),
        ("log-stderr = false\n", false, true, "rtpengine"),
        // Filters of the syslog know the lines by the name.
        ("log-facility-cdr = local1\n", false, false, "rtpengine"),
        ("log-facility-dtmf = local1\n", false, false, "rtpengine"),
        (
            "log-stderr = false\nlog-name = relay\n",
            false,
            true,
            "relay",
        ),
    ] {
        assert_eq!(
            imported(said),
            (background, syslog, name.to_owned()),
            "{said}"
        );
    }
}
