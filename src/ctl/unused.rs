//! Commands for features that are not built: Redis keyspaces, and caches of media to play.

use super::{Fault, Printed};

/// `ksadd N`, `ksrm N`, `kslist`.
pub(super) fn keyspace(command: &str, words: &[&str]) -> Printed {
    if command != "kslist" && words.is_empty() {
        return Err(Fault::Incomplete);
    }
    Ok("Keyspace notification feature has not been configured.\n".to_owned())
}

/// `media …`: nothing was ever loaded, and nothing can be.
pub(super) fn media(words: &[&str]) -> Printed {
    let (&action, rest) = words.split_first().ok_or(Fault::Incomplete)?;
    if !matches!(action, "add" | "evict" | "list" | "reload") {
        return Err(Fault::unknown(action, rest));
    }
    let (&what, which) = rest.split_first().ok_or(Fault::Incomplete)?;
    match (action, what, which.first()) {
        ("list", "files" | "dbs" | "caches" | "players", _) => Ok(format!("No media {what}.\n")),
        ("add" | "reload" | "evict", "file" | "db" | "cache", None) => Err(Fault::Incomplete),
        ("add", "file" | "db" | "cache", Some(which)) => Ok(format!(
            "Failed to add {what} '{which}': media cannot be played.\n"
        )),
        ("reload" | "evict", "file" | "db" | "cache", Some(which)) => {
            Ok(format!("No media {what} '{which}'.\n"))
        }
        ("reload", "files" | "dbs" | "caches", _)
        | ("evict", "files" | "dbs" | "caches" | "players", _) => Ok(format!("No media {what}.\n")),
        _ => Err(Fault::unknown(what, which)),
    }
}
