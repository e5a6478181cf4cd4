//! `windlass ng`: one command to a running relay.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::ExitCode;

use windlass_ng::client::{Client, ClientError, ClientOptions};
use windlass_ng::limits::REQUEST_ELEMENTS;
use windlass_ng::shown::write_escaped;
use windlass_ng::{Dict, Value, json};

use super::{Outcome, escaped_json, print};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with 1 if the relay answers with an error or not at all.

Examples:
  windlass ng ping
  windlass ng list limit=100
  windlass ng query call-id=abc@example.com
  windlass ng offer call-id=abc from-tag=1 'flags=[trust-address]' 'direction=[ext,int]' \\
              --sdp offer.sdp
  windlass ng delete call-id=abc delete-delay=0")]
pub(crate) struct NgArgs {
    /// Where the relay takes ng requests (UDP)
    #[arg(
        long,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:2223",
        env = "WINDLASS_RELAY",
        hide_env = true
    )]
    relay: SocketAddr,

    /// Read the SDP of the command from a file, or from standard input with '-'
    #[arg(long, value_name = "FILE")]
    sdp: Option<String>,

    /// Print the reply as JSON
    #[arg(long)]
    json: bool,

    /// ping, offer, answer, delete, query, list, statistics, ...; write a blank as '-':
    /// start-recording
    #[arg(value_name = "COMMAND")]
    command: String,

    /// Keys of the command. A list is written [a,b]; what starts with '{' is read as JSON
    #[arg(value_name = "KEY=VALUE", value_parser = parse_pair)]
    pairs: Vec<(String, Value)>,
}

pub(crate) fn ng(args: &NgArgs) -> Outcome {
    let request = request(args)?;
    let (reply, code) = match ask(args.relay, &request) {
        Ok(reply) => (reply, ExitCode::SUCCESS),
        Err(ClientError::Refused { reason }) => {
            let reply = Dict::new()
                .with("result", "error")
                .with("error-reason", reason);
            (reply, ExitCode::FAILURE)
        }
        Err(error) => return Err(format!("{}: {error}", args.relay).into()),
    };
    let text = if args.json {
        escaped_json(&format!("{:#}\n", as_json(&reply)?))
    } else {
        readable(&reply)
    };
    print(&text)?;
    Ok(code)
}

fn ask(relay: SocketAddr, request: &Dict) -> Result<Dict, ClientError> {
    let options = ClientOptions {
        tries: 3,
        ..ClientOptions::default()
    };
    Client::connect(relay, options)?.request(request)
}

fn as_json(reply: &Dict) -> serde_json::Result<serde_json::Value> {
    serde_json::from_slice(&reply.to_json())
}

fn request(args: &NgArgs) -> io::Result<Dict> {
    let command = args.command.replace(['-', '_'], " ");
    let mut request = Dict::new().with("command", command);
    for (key, value) in &args.pairs {
        request.push(key.clone(), value.clone());
    }
    if let Some(source) = &args.sdp {
        let text = if source == "-" {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text
        } else {
            fs::read_to_string(source)
                .map_err(|error| io::Error::new(error.kind(), format!("{source}: {error}")))?
        };
        request.push("sdp", with_crlf(&text));
    }
    Ok(request)
}

/// SDP lines end with CR LF (RFC 4566 §5); editors leave LF.
fn with_crlf(text: &str) -> String {
    text.lines().fold(String::new(), |mut sdp, line| {
        sdp.push_str(line);
        sdp.push_str("\r\n");
        sdp
    })
}

fn parse_pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| format!("`{text}` is no KEY=VALUE; a flag is written flags=[{text}]"))?;
    let list = value
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    let value = match list {
        Some("") => Value::List(Vec::new()),
        Some(entries) => Value::List(entries.split(',').map(|e| e.trim().into()).collect()),
        None if value.starts_with('{') => json::decode(value.as_bytes(), REQUEST_ELEMENTS)
            .map_err(|_| format!("the value of `{key}` starts with '{{' but is no JSON object"))?
            .root()
            .to_value(),
        None => value.into(),
    };
    Ok((key.to_owned(), value))
}

/// The reply in lines: nested values and several lines of text indented. Names and values that
/// strangers chose steer no terminal: they are escaped.
fn readable(reply: &Dict) -> String {
    let mut text = String::new();
    write_dict(&mut text, reply, 0);
    text
}

fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_escaped(bytes, &mut text);
    text
}

fn write_dict(text: &mut String, dict: &Dict, depth: usize) {
    for (key, value) in dict.iter() {
        let title = format!("{}:", shown(key));
        write_entry(text, &title, value, depth);
    }
}

fn write_entry(text: &mut String, title: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    if let Value::Bencode(written) = value {
        return write_entry(text, title, &written.decode(), depth);
    }
    let _ = write!(text, "{indent}{title}");
    match value {
        Value::Int(number) => {
            let _ = writeln!(text, " {number}");
        }
        Value::Bytes(bytes) => {
            if !bytes.contains(&b'\n') {
                let _ = writeln!(text, " {}", shown(bytes));
                return;
            }
            text.push('\n');
            let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            for line in whole.split(|&byte| byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let _ = writeln!(text, "{indent}  {}", shown(line));
            }
        }
        Value::List(entries) if entries.is_empty() => text.push_str(" []\n"),
        Value::List(entries) => {
            text.push('\n');
            for entry in entries {
                write_entry(text, "-", entry, depth + 1);
            }
        }
        Value::Bencode(_) => {}
        Value::Dict(dict) if dict.iter().next().is_none() => text.push_str(" {}\n"),
        Value::Dict(dict) => {
            text.push('\n');
            write_dict(text, dict, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use windlass_ng::bencode;

    use super::*;

    #[test]
    fn pairs_are_text_lists_or_json() {
        let value = |text| parse_pair(text).unwrap().1;
        let list = |words: &[&str]| Value::List(words.iter().map(|word| (*word).into()).collect());
        assert_eq!(value("call-id=a=b"), "a=b".into());
        assert_eq!(
            value("flags=[trust-address, symmetric]"),
            list(&["trust-address", "symmetric"])
        );
        assert_eq!(value("replace=[]"), list(&[]));
        assert_eq!(
            value(r#"codec={"strip":["all"]}"#),
            Dict::new().with("strip", list(&["all"])).into()
        );
        for bad in ["trust-address", "=x", "codec={"] {
            assert!(parse_pair(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reply_reads_well() {
        let packets = Dict::new().with("packets", 3);
        let reply = Dict::new()
            .with("result", "ok")
            .with("sdp", "v=0\r\ns=-\r\n")
            .with("calls", ["a", "b"].into_iter().collect::<Value>())
            .with("totals", Dict::new().with("RTP", packets))
            .with("tags", Dict::new());
        assert_eq!(
            readable(&reply),
            "result: ok\nsdp:\n  v=0\n  s=-\ncalls:\n  - a\n  - b\ntotals:\n  RTP:\n    packets: 3\n\
             tags: {}\n"
        );
    }

    #[test]
    fn names_of_strangers_steer_no_terminal() {
        let hostile = "a\u{1b}[2J\u{9b}\u{202e}\u{2028}b\u{e0041}";
        let reply = Dict::new()
            .with(hostile, hostile)
            .with("calls", [hostile].into_iter().collect::<Value>())
            .with("sdp", format!("v=0\r\ns={hostile}\rx\r\n"));
        let escaped = "a\\u{1b}[2J\\u{9b}\\u{202e}\\u{2028}b\\u{e0041}";
        assert_eq!(
            readable(&reply),
            format!(
                "{escaped}: {escaped}\ncalls:\n  - {escaped}\nsdp:\n  v=0\n  s={escaped}\\rx\n"
            )
        );
        let json = as_json(&Dict::new().with("x", hostile)).unwrap();
        let text = escaped_json(&format!("{json:#}\n"));
        assert_eq!(
            text,
            "{\n  \"x\": \"a\\u001b[2J\\u009b\\u202e\\u2028b\\udb40\\udc41\"\n}\n"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            json
        );
    }

    #[test]
    fn sdp_lines_end_as_they_must() {
        assert_eq!(with_crlf("v=0\ns=-\r\n"), "v=0\r\ns=-\r\n");
    }

    #[test]
    fn command_goes_out_with_blanks() {
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        let args = NgArgs {
            relay: relay.local_addr().unwrap(),
            sdp: None,
            json: false,
            command: "start-recording".to_owned(),
            pairs: vec![("call-id".to_owned(), "x".into())],
        };
        let server = std::thread::spawn(move || {
            let mut buffer = [0; 256];
            let (length, from) = relay.recv_from(&mut buffer).unwrap();
            let text = &buffer[..length];
            let blank = text.iter().position(|byte| *byte == b' ').unwrap();
            let mut reply = text[..=blank].to_vec();
            Dict::new().with("result", "pong").write_bencode(&mut reply);
            relay.send_to(&reply, from).unwrap();
            bencode::decode(&text[blank + 1..], REQUEST_ELEMENTS)
                .unwrap()
                .root()
                .to_value()
        });
        let reply = ask(args.relay, &request(&args).unwrap()).unwrap();
        assert_eq!(reply.get_str("result"), Some("pong"));
        let sent = server.join().unwrap();
        let sent = sent.as_dict().unwrap();
        assert_eq!(sent.get_str("command"), Some("start recording"));
        assert_eq!(sent.get_str("call-id"), Some("x"));
    }
}
