//! Fitting a reply into one datagram (proxy-modules §1 row 5): less statistics is better than a
//! reply that cannot be sent.

use crate::value::{Dict, Value};

/// Shortens `reply` until its bencode form has at most `limit` bytes; `false` if it cannot.
///
/// In this order: `MOS progression` goes, then the details of each SSRC, then the SSRC statistics
/// as a whole, then members from the end of the longest list. The key `truncated` = 1 says so.
pub(super) fn shorten(reply: &mut Dict, limit: usize) -> bool {
    if reply.bencode_len() <= limit {
        return true;
    }
    if reply.get("truncated").is_none() {
        // First, so that `result` stays at the end.
        let mut shorter = Dict::new().with("truncated", 1);
        shorter.extend(std::mem::take(reply).into_entries());
        *reply = shorter;
    }
    for step in [without_progression, without_ssrc_details, without_ssrcs] {
        step(reply);
        if reply.bencode_len() <= limit {
            return true;
        }
    }
    // Each round takes at least one member, of the list that is longest at that moment.
    loop {
        let len = reply.bencode_len();
        let Some(excess) = len.checked_sub(limit).filter(|&excess| excess > 0) else {
            return true;
        };
        if !cut_longest(reply, excess) {
            return false;
        }
    }
}

fn without_progression(dict: &mut Dict) {
    dict.retain(|key, _| key != b"MOS progression");
    each_dict(dict, &mut without_progression);
}

fn without_ssrc_details(dict: &mut Dict) {
    each_dict(dict, &mut without_ssrc_details);
    for (key, value) in dict.iter_mut() {
        match value {
            Value::Dict(ssrcs) if key == b"SSRC" => {
                for (_, ssrc) in ssrcs.iter_mut() {
                    only_scalars(ssrc);
                }
            }
            Value::List(ssrcs) if is_ssrc_list(key) => ssrcs.iter_mut().for_each(only_scalars),
            _ => {}
        }
    }
}

fn without_ssrcs(dict: &mut Dict) {
    dict.retain(|key, value| {
        let is_table = key == b"SSRC" && matches!(value, Value::Dict(_));
        !(is_table || is_ssrc_list(key))
    });
    each_dict(dict, &mut without_ssrcs);
}

fn is_ssrc_list(key: &[u8]) -> bool {
    key == b"ingress SSRCs" || key == b"egress SSRCs"
}

fn only_scalars(value: &mut Value) {
    if let Value::Dict(dict) = value {
        dict.retain(|_, value| matches!(value, Value::Int(_) | Value::Bytes(_)));
    }
}

/// Calls `change` for each dictionary directly below, also through lists.
fn each_dict(dict: &mut Dict, change: &mut impl FnMut(&mut Dict)) {
    fn visit(value: &mut Value, change: &mut impl FnMut(&mut Dict)) {
        match value {
            Value::Dict(dict) => change(dict),
            Value::List(list) => list.iter_mut().for_each(|member| visit(member, change)),
            Value::Int(_) | Value::Bytes(_) | Value::Bencode(_) => {}
        }
    }
    for (_, value) in dict.iter_mut() {
        visit(value, change);
    }
}

/// Takes whole members from the end of the list (or map of tags) with the longest encoding.
fn cut_longest(dict: &mut Dict, excess: usize) -> bool {
    let mut longest = 0;
    for (_, value) in dict.iter() {
        measure(value, &mut longest);
    }
    if longest == 0 {
        return false;
    }
    dict.iter_mut()
        .any(|(_, value)| cut(value, longest, excess))
}

/// Bytes of the members of the largest cuttable container below `value`, itself included.
fn measure(value: &Value, longest: &mut usize) {
    match value {
        Value::List(list) if !list.is_empty() => {
            *longest = (*longest).max(value.bencode_len());
            list.iter().for_each(|member| measure(member, longest));
        }
        Value::Dict(dict) => {
            if is_map(dict) {
                *longest = (*longest).max(value.bencode_len());
            }
            dict.iter().for_each(|(_, member)| measure(member, longest));
        }
        _ => {}
    }
}

/// Whether a dictionary is a table of like things (`tags`), not a record.
fn is_map(dict: &Dict) -> bool {
    !dict.is_empty()
        && dict
            .iter()
            .all(|(_, value)| matches!(value, Value::Dict(_)))
}

fn cut(value: &mut Value, longest: usize, excess: usize) -> bool {
    let here = value.bencode_len() == longest;
    match value {
        Value::List(list) if here && !list.is_empty() => {
            let mut gone = 0;
            while gone < excess
                && let Some(member) = list.pop()
            {
                gone += member.bencode_len();
            }
            true
        }
        Value::Dict(dict) if here && is_map(dict) => {
            let mut gone = 0;
            let mut keep = dict.len();
            for (key, member) in dict.iter().rev() {
                if gone >= excess {
                    break;
                }
                gone += key.len() + member.bencode_len();
                keep -= 1;
            }
            dict.truncate(keep);
            true
        }
        Value::List(list) => list.iter_mut().any(|member| cut(member, longest, excess)),
        Value::Dict(dict) => dict
            .iter_mut()
            .any(|(_, member)| cut(member, longest, excess)),
        Value::Int(_) | Value::Bytes(_) | Value::Bencode(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics() -> Dict {
        let progression = Dict::new()
            .with("interval", 5)
            .with("entries", Value::List(Vec::new()));
        let mos = Dict::new().with("MOS", 43).with("jitter", 1);
        let ssrc = Dict::new()
            .with("packets", 7)
            .with("average MOS", mos)
            .with("MOS progression", progression);
        let stream = Dict::new().with("local port", 1000);
        let media = Dict::new()
            .with("streams", Value::List(vec![stream.into()]))
            .with("ingress SSRCs", Value::List(vec![ssrc.clone().into()]));
        let tag = Dict::new().with("medias", Value::List(vec![media.into()]));
        Dict::new()
            .with("created", 1)
            .with("SSRC", Dict::new().with("1", ssrc))
            .with("tags", Dict::new().with("a", tag.clone()).with("b", tag))
            .with("result", "ok")
    }

    #[test]
    fn statistics_go_in_order_of_worth() {
        let full = statistics();
        let mut last = full.bencode_len();
        let text = |dict: &Dict| String::from_utf8(dict.to_bencode()).unwrap();
        let mut seen = Vec::new();
        for limit in (30..last).rev() {
            let mut dict = full.clone();
            if !shorten(&mut dict, limit) {
                break;
            }
            assert!(dict.bencode_len() <= limit);
            assert_eq!(dict.get("result"), Some(&"ok".into()));
            assert_eq!(dict.get("truncated"), Some(&1.into()));
            if dict.bencode_len() < last {
                last = dict.bencode_len();
                let text = text(&dict);
                seen.push(
                    ["progression", "average MOS", "packets", "local port"]
                        .map(|k| text.contains(k)),
                );
            }
        }
        assert_eq!(seen.first(), Some(&[false, true, true, true]));
        assert!(seen.contains(&[false, false, true, true]));
        assert!(seen.contains(&[false, false, false, true]));
        assert_eq!(seen.last(), Some(&[false; 4]));
    }

    #[test]
    fn lists_are_cut_at_members_and_text_is_not_cut() {
        let calls: Value = (100..200)
            .map(|i: i64| Value::from(i.to_string()))
            .collect();
        let mut dict = Dict::new().with("calls", calls).with("result", "ok");
        assert!(shorten(&mut dict, 200));
        let kept = dict.get("calls").unwrap().as_list().unwrap();
        assert!(kept.len() > 20 && kept.iter().all(|call| call.as_bytes().unwrap().len() == 3));
        assert!(!shorten(&mut Dict::new().with("sdp", "x".repeat(300)), 200));
    }
}
