//! Bodies as text, and posting to a listener of this test.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener};

use super::*;
use crate::limits::CALL_BACKS;

const CALL: TimedOutCall<'static> = TimedOutCall {
    call_id: b"a<b>&\"c\"",
    tags: &[b"f", b"t"],
    pairs: &[(b"f", b"t"), (b"f", b"u")],
};

fn string(value: &str) -> String {
    format!("<param><value><string>{value}</string></value></param>")
}

fn call(method: &str, parameters: &[&str]) -> String {
    let parameters: String = parameters.iter().map(|value| string(value)).collect();
    format!(
        "<?xml version=\"1.0\"?>\n<methodCall><methodName>{method}</methodName>\
         <params>{parameters}</params></methodCall>\n"
    )
}

#[test]
fn sems_is_told_of_every_tag() {
    let expected = [
        call("di", &["sbc", "postControlCmd", "f", "teardown"]),
        call("di", &["sbc", "postControlCmd", "t", "teardown"]),
    ];
    assert_eq!(XmlRpcFormat::Sems.bodies(&CALL), expected);
}

#[test]
fn others_are_told_of_the_call_or_of_every_pair() {
    let id = "a&lt;b&gt;&amp;&quot;c&quot;";
    let expected = [call("teardown", &[id])];
    assert_eq!(XmlRpcFormat::CallId.bodies(&CALL), expected);
    let expected = [
        call("dlg.terminate_dlg", &[id, "f", "t"]),
        call("dlg.terminate_dlg", &[id, "f", "u"]),
    ];
    assert_eq!(XmlRpcFormat::Dialogue.bodies(&CALL), expected);
}

#[test]
fn formats_have_numbers() {
    assert_eq!(XmlRpcFormat::from_number(0), Some(XmlRpcFormat::Sems));
    assert_eq!(XmlRpcFormat::from_number(1), Some(XmlRpcFormat::CallId));
    assert_eq!(XmlRpcFormat::from_number(2), Some(XmlRpcFormat::Dialogue));
    assert_eq!(XmlRpcFormat::from_number(3), None);
}

#[test]
fn what_xml_cannot_carry_is_replaced() {
    let body = method_call("m", &[b"a\0\x1f\r\n\t'\xff]]>"]);
    let expected = string("a\u{fffd}\u{fffd}&#13;&#10;&#9;&apos;\u{fffd}]]&gt;");
    assert!(body.contains(&expected), "{body}");
}

#[test]
fn the_address_is_put_into_the_url() {
    let url = |template| UrlTemplate::parse(template).unwrap();
    let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.9".parse().unwrap(), "2001:db8::9".parse().unwrap());
    let plain = url("http://%%:8000/RPC2");
    assert_eq!(plain.fill(v4), "http://192.0.2.9:8000/RPC2");
    assert_eq!(plain.fill(v6), "http://[2001:db8::9]:8000/RPC2");
    assert_eq!(url("http://[%%]/").fill(v6), "http://[2001:db8::9]/");
    assert_eq!(url("http://sip.example/").fill(v6), "http://sip.example/");
}

#[test]
fn a_url_that_cannot_be_posted_to_is_refused() {
    let https = "https://%%/RPC2";
    assert_eq!(
        UrlTemplate::parse(https),
        Err(UrlError::Https(https.to_owned()))
    );
    for bad in [
        "",
        "sip.example",
        "/RPC2",
        "ftp://%%/",
        "http://",
        "http://a b/",
    ] {
        assert_eq!(
            UrlTemplate::parse(bad),
            Err(UrlError::Syntax(bad.to_owned())),
            "{bad}"
        );
    }
}

/// Answers one request after another with these status lines; gives back the requests.
fn server(statuses: &'static [&'static str]) -> (SocketAddr, JoinHandle<Vec<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let answer = |status: &&str| {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
                head.push_str(&line);
                head.push('\n');
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let mut stream = reader.into_inner();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            (head, String::from_utf8(body).unwrap())
        };
        statuses.iter().map(answer).collect()
    });
    (address, thread)
}

#[test]
fn bodies_are_posted_in_order() {
    let (address, server) = server(&["200 OK", "200 OK"]);
    let notifier = Notifier::start().unwrap();
    let bodies = XmlRpcFormat::Sems.bodies(&CALL);
    notifier.notify(format!("http://{address}/RPC2"), bodies.clone());
    let expected = NotifierCounters {
        delivered: 2,
        ..NotifierCounters::default()
    };
    assert_eq!(notifier.finish(), expected);
    let requests = server.join().unwrap();
    let (head, _) = &requests[0];
    assert!(head.starts_with("post /rpc2 http/1.1\n"), "{head}");
    assert!(head.contains("\ncontent-type: text/xml\n"), "{head}");
    let posted: Vec<_> = requests.into_iter().map(|(_, body)| body).collect();
    assert_eq!(posted, bodies);
}

#[test]
fn a_request_is_tried_three_times() {
    let (address, server) = server(&["500 No", "503 No", "200 OK", "404 No", "404 No", "404 No"]);
    let notifier = Notifier::start().unwrap();
    let url = format!("http://{address}/");
    notifier.notify(url, vec!["first".to_owned(), "second".to_owned()]);
    let expected = NotifierCounters {
        delivered: 1,
        failed: 1,
        dropped: 0,
    };
    assert_eq!(notifier.finish(), expected);
    assert_eq!(server.join().unwrap().len(), 6);
}

#[test]
fn one_that_is_gone_is_given_up_for_the_call() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let notifier = Notifier::start().unwrap();
    notifier.notify(format!("http://{address}/"), vec!["a".to_owned(); 4]);
    let expected = NotifierCounters {
        failed: 4,
        ..NotifierCounters::default()
    };
    assert_eq!(notifier.finish(), expected);
}

#[test]
fn what_does_not_fit_the_queue_is_dropped() {
    // Accepts connections in its backlog and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let notifier = Notifier::start().unwrap();
    for _ in 0..CALL_BACKS + 2 {
        notifier.notify(url.clone(), vec!["a".to_owned()]);
    }
    assert!(notifier.counters().dropped >= 1);
}
