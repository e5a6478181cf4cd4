//! Edits of a list's file that leave its other rows and its comments as they are.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// The text with an entry put in, or taken out if `action` is `None`. `None`: there is no such entry.
/// A text without a header gets one.
pub(super) fn edited(text: &str, prefix: &str, user: &str, action: Option<&str>) -> Option<String> {
    let is_row = |line: &str| !line.trim().is_empty() && !line.trim().starts_with('#');
    let header = text.lines().find(|line| is_row(line));
    let header = header.map(|line| line.trim_start_matches('\u{feff}'));
    let mut columns: Vec<&str> = match header {
        Some(header) => header.split(',').map(str::trim).collect(),
        None => vec!["prefix", "action"],
    };
    let at = |columns: &[&str], name: &str| columns.iter().position(|column| *column == name);
    let is_wider = !user.is_empty() && at(&columns, "user").is_none() && action.is_some();
    let row = |columns: &[&str], action: &str| {
        let values = columns.iter().map(|column| match *column {
            "prefix" => prefix,
            "action" => action,
            "user" => user,
            _ => "",
        });
        values.collect::<Vec<_>>().join(",")
    };
    let is_it = |line: &str| {
        let values: Vec<&str> = line.split(',').map(str::trim).collect();
        let value = |name| at(&columns, name).and_then(|at| values.get(at).copied());
        value("prefix") == Some(prefix) && value("user").unwrap_or_default() == user
    };
    let mut out = String::with_capacity(text.len() + 64);
    let mut is_header_due = true;
    let mut is_found = false;
    let mut wide = columns.clone();
    if is_wider {
        wide.push("user");
    }
    for line in text.lines() {
        if !is_row(line) {
            out.push_str(line);
        } else if is_header_due {
            is_header_due = false;
            out.push_str(line);
            out.push_str(if is_wider { ",user" } else { "" });
        } else if is_it(line) {
            is_found = true;
            match action {
                Some(action) => out.push_str(&row(&wide, action)),
                None => continue,
            }
        } else {
            out.push_str(line);
            out.push_str(if is_wider { "," } else { "" });
        }
        out.push('\n');
    }
    if is_header_due {
        columns.clone_from(&wide);
        out.push_str(&columns.join(","));
        out.push('\n');
    }
    match (action, is_found) {
        (None, false) => return None,
        (Some(action), false) => {
            out.push_str(&row(&wide, action));
            out.push('\n');
        }
        _ => {}
    }
    Some(out)
}

/// Puts a text in the place of a file at once: a reader sees the old or the new one, also after a
/// crash. Rights stay.
pub(super) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = Path::new(&beside);
    // Of an earlier process with this number.
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut written = fs::File::create_new(beside)?;
    let put = fs::metadata(file)
        .and_then(|metadata| written.set_permissions(metadata.permissions()))
        .and_then(|()| written.write_all(text.as_bytes()))
        .and_then(|()| written.sync_all())
        .and_then(|()| fs::rename(beside, file));
    put.inspect_err(|_| drop(fs::remove_file(beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_put_changed_and_taken_out_and_the_rest_stays() {
        let text = "# fraud\nprefix,action\n\n+88,deny\n+49,allow\n";
        let put = edited(text, "+99", "", Some("deny")).unwrap();
        assert_eq!(put, format!("{text}+99,deny\n"));
        let changed = edited(&put, "+88", "", Some("allow")).unwrap();
        assert_eq!(changed, put.replace("+88,deny", "+88,allow"));
        assert_eq!(edited(&put, "+99", "", None).unwrap(), text);
        assert_eq!(edited(text, "+1", "", None), None);
        assert_eq!(edited(text, "+88", "a@x", None), None, "of all users");
    }

    #[test]
    fn an_entry_of_a_user_has_a_column_of_its_own() {
        let text = "action,prefix\ndeny,+88\n";
        let put = edited(text, "+88", "bob@x.example", Some("allow")).unwrap();
        assert_eq!(
            put,
            "action,prefix,user\ndeny,+88,\nallow,+88,bob@x.example\n"
        );
        let gone = edited(&put, "+88", "bob@x.example", None).unwrap();
        assert_eq!(gone, "action,prefix,user\ndeny,+88,\n");
        assert_eq!(
            edited("# none yet\n", "1", "a@x", Some("deny")).unwrap(),
            "# none yet\nprefix,action,user\n1,deny,a@x\n"
        );
    }
}
