//! media-behaviour §1.1: how interfaces are said. How they are chosen is tested with the calls.

use super::*;

/// Name, address, advertised address and ports of each.
fn described(text: &str, arguments: &[&str]) -> Vec<String> {
    let arguments = [&["-f", "-n127.0.0.1:2223"][..], arguments].concat();
    let config = config_of(text, &arguments);
    let interfaces = config.interfaces.iter();
    interfaces
        .map(|i| {
            let (address, advertised) = (i.address, i.advertised());
            format!(
                "{}/{address}!{advertised}:{}-{}",
                i.name, i.ports.min, i.ports.max
            )
        })
        .collect()
}

#[test]
fn an_interface_is_name_address_and_advertised_address() {
    for (said, expected) in [
        ("192.0.2.1", &["default/192.0.2.1!192.0.2.1"][..]),
        ("2001:db8::1", &["default/2001:db8::1!2001:db8::1"]),
        ("ext/192.0.2.1", &["ext/192.0.2.1!192.0.2.1"]),
        ("192.0.2.1!203.0.113.9", &["default/192.0.2.1!203.0.113.9"]),
        (
            "ext/192.0.2.1!media.example.com",
            &["ext/192.0.2.1!203.0.113.7"],
        ),
        ("ext/media.example.com", &["ext/203.0.113.7!203.0.113.7"]),
        (
            "eth0",
            &[
                "default/192.0.2.7!192.0.2.7",
                "default/2001:db8::7!2001:db8::7",
            ],
        ),
        (
            "any",
            &[
                "default/192.0.2.7!192.0.2.7",
                "default/2001:db8::7!2001:db8::7",
                "default/198.51.100.7!198.51.100.7",
            ],
        ),
        (
            "a/192.0.2.1;b/192.0.2.2",
            &["a/192.0.2.1!192.0.2.1", "b/192.0.2.2!192.0.2.2"],
        ),
        (
            "x:1/192.0.2.1;x:2/192.0.2.2",
            &["x:1/192.0.2.1!192.0.2.1", "x:2/192.0.2.2!192.0.2.2"],
        ),
    ] {
        let expected: Vec<String> = expected
            .iter()
            .map(|i| format!("{i}:30000-39999"))
            .collect();
        let text = format!("[rtpengine]\ninterface = {said}\n");
        assert_eq!(described(&text, &[]), expected, "{said}");
        let arguments: Vec<String> = said
            .split(';')
            .map(|i| format!("--interface={i}"))
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_eq!(described("", &arguments), expected, "{said}");
    }
}

#[test]
fn sections_describe_interfaces_with_each_key() {
    for (key, expected) in [
        ("", "x/192.0.2.1!192.0.2.1:30000-39999"),
        (
            "advertised = 203.0.113.9",
            "x/192.0.2.1!203.0.113.9:30000-39999",
        ),
        (
            "advertised-address = 203.0.113.9",
            "x/192.0.2.1!203.0.113.9:30000-39999",
        ),
        (
            "advertised address = 203.0.113.9",
            "x/192.0.2.1!203.0.113.9:30000-39999",
        ),
        ("name = y", "y/192.0.2.1!192.0.2.1:30000-39999"),
        ("port-min = 20000", "x/192.0.2.1!192.0.2.1:20000-39999"),
        ("port-max = 39899", "x/192.0.2.1!192.0.2.1:30000-39899"),
    ] {
        let text =
            format!("[rtpengine]\ninterfaces-config = if\n[if-x]\naddress = 192.0.2.1\n{key}\n");
        assert_eq!(described(&text, &[]), [expected], "{key}");
    }
    let text = "[rtpengine]\ninterface = a/192.0.2.9\ninterfaces-config = if\nlisten-cli = \
                192.0.2.1:30500\nlisten-http = 127.0.0.1:30600\n[if-x]\naddress = 192.0.2.1\n\
                exclude-ports = 30010; 30012\n[if-old]\nalias = x\n";
    let config = config_of(text, &["-f", "-n0.0.0.0:30400"]);
    let of = |name| config.logical(name).next().unwrap();
    let kept = |name| {
        config
            .kept_ports(of(name))
            .into_iter()
            .collect::<Vec<u16>>()
    };
    // Listeners keep their ports on the addresses that they are on.
    assert_eq!(kept("x"), [30_010, 30_012, 30_400, 30_500]);
    assert_eq!(kept("a"), [30_400]);
    assert_eq!(of("old").address, of("x").address);
}
