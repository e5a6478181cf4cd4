//! Statistics as JSON for operators: numbers are numbers, also those that ng gives as text.

use windlass_ng::{Dict, Value};

/// Keys whose text is text, even if it looks like a number.
const TEXT: [&[u8]; 4] = [b"name", b"address", b"proxy", b"chain"];

/// The JSON of a dictionary.
pub(super) fn write(dict: &Dict) -> String {
    let mut out = Vec::new();
    write_dict(dict, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn write_dict(dict: &Dict, out: &mut Vec<u8>) {
    out.push(b'{');
    for (position, (key, value)) in dict.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        Value::from(key).write_json(out);
        out.push(b':');
        match value {
            Value::Bytes(text) if !TEXT.contains(&key) && is_number(text) => {
                out.extend_from_slice(text);
            }
            value => write_value(value, out),
        }
    }
    out.push(b'}');
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Dict(dict) => write_dict(dict, out),
        Value::List(list) => {
            out.push(b'[');
            for (position, value) in list.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_value(value, out);
            }
            out.push(b']');
        }
        value => value.write_json(out),
    }
}

/// Digits, perhaps with a fraction: what is a number in JSON too.
fn is_number(text: &[u8]) -> bool {
    let is_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let is_whole = is_digits(whole) && (whole.len() == 1 || whole.first() != Some(&b'0'));
    is_whole && parts.next().is_none_or(is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lose_their_quotes_and_names_keep_them() {
        let inner = Dict::new()
            .with("proxy", "127.0.0.1")
            .with("offerduration", "0.000545");
        let dict = Dict::new()
            .with("name", "7")
            .with("uptime", "12")
            .with("list", Value::List(vec![inner.into(), Value::from("7")]))
            .with("odd", "1.")
            .with("octal", "010")
            .with("count", 3_u64);
        assert_eq!(
            write(&dict),
            "{\"name\":\"7\",\"uptime\":12,\"list\":[{\"proxy\":\"127.0.0.1\",\
             \"offerduration\":0.000545},\"7\"],\"odd\":\"1.\",\"octal\":\"010\",\"count\":3}"
        );
    }
}
