//! The best of several final responses (RFC 3261 §16.7 steps 6 to 8): which of them goes back, with
//! the challenges of the others, and what a 503 becomes.

use crate::message::{HeaderId, Message, Splices};

/// Final response of one branch, as far as the choice looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Final {
    pub(crate) status: u16,
    /// Nobody sent it: the branch timed out, or its transport failed.
    pub(crate) is_own: bool,
}

/// The response that goes back when no branch is open any more: its number in the order they came.
/// `None` if there is none; the answer is then 408.
pub(crate) fn best(responses: impl IntoIterator<Item = Final>) -> Option<usize> {
    let ranked = responses.into_iter().enumerate();
    // Of equals, the first one that came.
    ranked.min_by_key(|(_, f)| rank(*f)).map(|(at, _)| at)
}

/// What ends the other branches at once: they are cancelled, and a 6xx waits for them (RFC 3261 §16.7
/// step 5). A 2xx goes back at once.
pub(crate) fn ends_others(status: u16) -> bool {
    (200..300).contains(&status) || status >= 600
}

/// The status that leaves in the place of `status`: a 503 of a next hop speaks of that hop, not of
/// us (RFC 3261 §16.7 step 6).
pub(crate) fn shown_status(response: Final) -> u16 {
    match response.status {
        503 if !response.is_own => 500,
        status => status,
    }
}

/// Gives a 401 or 407 that goes back the challenges of the `others` (RFC 3261 §16.7 step 7): a
/// request that was forked answers all of them at once. Rows keep their bytes.
pub(crate) fn collect_challenges<'a>(
    chosen: &Message,
    others: impl IntoIterator<Item = &'a Message>,
    splices: &mut Splices,
) {
    let asks = |message: &Message| matches!(message.parsed.status(), 401 | 407);
    if !asks(chosen) {
        return;
    }
    for other in others.into_iter().filter(|other| asks(other)) {
        for row in &other.parsed.headers {
            let is_challenge = matches!(
                row.id,
                HeaderId::ProxyAuthenticate | HeaderId::WwwAuthenticate
            );
            if is_challenge {
                splices.insert(chosen.parsed.headers_end, &[other.text(row.row)]);
            }
        }
    }
}

/// Lower is better: the class, then what says most within it.
fn rank(Final { status, is_own }: Final) -> (u16, u8) {
    let class = match status / 100 {
        // A 2xx has gone back before; a 6xx comes before all that failed on one way only.
        2 => 0,
        6 => 1,
        class => class,
    };
    let within = match status {
        // They say how to ask again.
        401 | 407 | 415 | 420 | 484 => 0,
        // They say that nobody was there.
        408 | 503 => 2,
        _ => 1,
    };
    (class, within + 4 * u8::from(is_own))
}
