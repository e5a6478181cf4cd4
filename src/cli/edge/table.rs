//! Answers of the edge for people. What strangers chose (names, numbers) steers no terminal.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use windlass_ng::shown::write_escaped;

/// Entries as a table with these columns.
pub(super) fn rows(entries: &[Value], columns: &[&str]) -> String {
    let title = columns.iter().map(|column| (*column).to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![title];
    for entry in entries {
        let cell = |column: &&str| entry.get(column).map_or_else(String::new, text);
        lines.push(columns.iter().map(cell).collect());
    }
    let width = |at: usize| {
        let cells = lines.iter().filter_map(|line| line.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            // Writing to a String does not fail.
            let _ = write!(row, "{cell:width$}  ");
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

/// Members one below the other, nested ones indented.
pub(super) fn fields(json: &Value) -> String {
    let mut out = String::new();
    write_members(&mut out, json, 0);
    out
}

fn write_members(out: &mut String, json: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let mut entry = |title: &str, value: &Value| match value {
        Value::Array(all) if all.is_empty() => {}
        Value::Object(_) | Value::Array(_) => {
            let _ = writeln!(out, "{indent}{title}:");
            write_members(out, value, depth + 1);
        }
        Value::Null => {}
        value => drop(writeln!(out, "{indent}{title}: {}", text(value))),
    };
    match json {
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, value)| entry(&shown(name), value));
        }
        Value::Array(all) => {
            for value in all {
                match value {
                    Value::Object(members) => {
                        let _ = writeln!(out, "{indent}- {}", inline(members.iter()));
                    }
                    value => drop(writeln!(out, "{indent}{}", text(value))),
                }
            }
        }
        value => drop(writeln!(out, "{indent}{}", text(value))),
    }
}

/// An event in a line: its time, its name, and the rest.
pub(super) fn line(members: &Map<String, Value>) -> String {
    let first = ["time", "event"].map(|name| members.get(name).map_or_else(String::new, text));
    let rest = members
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "time" | "event"));
    format!("{} {}\n", first.join(" "), inline(rest))
}

/// The error and its details.
pub(super) fn refusal(json: &Value) -> String {
    let mut out = String::from("windlass: ");
    out.push_str(&json.get("error").map_or_else(String::new, text));
    out.push('\n');
    let details = json.get("details").and_then(Value::as_array);
    for detail in details.into_iter().flatten() {
        let _ = writeln!(out, "  {}", text(detail));
    }
    out
}

fn inline<'m>(members: impl Iterator<Item = (&'m String, &'m Value)>) -> String {
    let said = members.filter(|(_, value)| !value.is_null());
    let pairs = said.map(|(name, value)| format!("{}={}", shown(name), text(value)));
    pairs.collect::<Vec<_>>().join(" ")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => shown(text),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(fraction) => format!("{fraction:.2}"),
            None => number.to_string(),
        },
        value => shown(&value.to_string()),
    }
}

fn shown(text: &str) -> String {
    let mut out = String::new();
    let _ = write_escaped(text.as_bytes(), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_line_up_and_names_are_escaped() {
        let entries = [
            json!({ "id": "a", "uri": "sip:x\u{1b}[2J", "asr": 0.5 }),
            json!({ "id": "long", "uri": null }),
        ];
        assert_eq!(
            rows(&entries, &["id", "asr", "uri"]),
            "id    asr   uri\na     0.50  sip:x\\u{1b}[2J\nlong\n"
        );
    }

    #[test]
    fn nested_answers_read_well() {
        let json = json!({
            "verdict": { "action": "pass", "stage": null },
            "stages": [{ "stage": "bans", "says": "next", "why": null }],
            "kept": [],
            "changed": ["routes"],
        });
        assert_eq!(
            fields(&json),
            "verdict:\n  action: pass\nstages:\n  - stage=bans says=next\nchanged:\n  routes\n"
        );
        let refused = json!({ "error": "no", "details": ["a.csv:3: bad"] });
        assert_eq!(refusal(&refused), "windlass: no\n  a.csv:3: bad\n");
    }
}
