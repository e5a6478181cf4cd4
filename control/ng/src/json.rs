//! The JSON form of ng messages (RFC 8259).

use std::borrow::Cow;

use crate::{Dict, Value, errors};

/// Reads one JSON object.
///
/// # Errors
/// The words for the reply: no JSON, or no object. `serde_json` bounds the depth.
pub fn decode(bytes: &[u8]) -> Result<Dict, &'static str> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| errors::BAD_JSON)?;
    match from_json(value) {
        Some(Value::Dict(dict)) => Ok(dict),
        _ => Err(errors::JSON_NOT_OBJECT),
    }
}

/// Booleans count as integers; null as absent.
fn from_json(value: serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(value) => Value::Int(i64::from(value)),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Bytes(number.to_string().into_bytes()),
        },
        serde_json::Value::String(text) => Value::Bytes(text.into_bytes()),
        serde_json::Value::Array(list) => {
            Value::List(list.into_iter().filter_map(from_json).collect())
        }
        serde_json::Value::Object(entries) => {
            let mut dict = Dict::new();
            for (key, value) in entries {
                if let Some(value) = from_json(value) {
                    dict.push_bytes(Cow::Owned(key.into_bytes()), value);
                }
            }
            Value::Dict(dict)
        }
    })
}

/// Appends the JSON text of a dictionary; bytes that are not UTF-8 are replaced.
pub fn encode_dict(dict: &Dict, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, value)) in dict.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        encode_string(key, out);
        out.push(b':');
        encode(value, out);
    }
    out.push(b'}');
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Bytes(bytes) => encode_string(bytes, out),
        Value::List(list) => {
            out.push(b'[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                encode(value, out);
            }
            out.push(b']');
        }
        Value::Dict(dict) => encode_dict(dict, out),
    }
}

fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes);
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(out, &*text);
}
