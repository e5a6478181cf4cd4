//! Runs what a proxy asked of rtpengine once more, in memory, and compares.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use windlass_dtls::CertificateError;
use windlass_ng::{Dict, Value, bencode};

use super::difference::{self, Difference};
use super::names::Names;
use super::tally::{Entry, Skipped, Totals};
use crate::call::Now;
use crate::config::Config;
use crate::explain::read::Message;
use crate::explain::{Explained, Explainer};
use crate::limits::{SHADOW_CALLS, SHADOW_ELEMENTS, SHADOW_EXAMPLES, SHADOW_FORGETS, SHADOW_KINDS};

/// A request with the reply that rtpengine gave, without their cookie.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Bencode.
    pub request: Vec<u8>,
    /// Bencode.
    pub reply: Vec<u8>,
    /// Time between both.
    pub took: Duration,
}

/// Compares the replies of rtpengine with its own.
#[derive(Debug)]
pub struct Observer {
    config: Config,
    explainer: Explainer,
    calls: HashMap<Vec<u8>, Call>,
    totals: Totals,
    /// Examples written so far, by kind of difference.
    written: HashMap<String, u32>,
}

/// A call that both relays have from its beginning.
#[derive(Debug)]
struct Call {
    theirs: Names,
    ours: Names,
    last: Instant,
    is_over: bool,
}

impl Observer {
    /// A relay with this configuration. It has no call yet.
    ///
    /// # Errors
    /// The system gives no random numbers for a certificate.
    pub fn new(config: Config, now: Now) -> Result<Self, CertificateError> {
        Ok(Self {
            explainer: explainer(&config, now)?,
            config,
            calls: HashMap::new(),
            totals: Totals::default(),
            written: HashMap::new(),
        })
    }

    /// Compares one reply. Gives the lines for the log: an example of each difference, as long as
    /// there are few of its kind.
    pub fn observe(&mut self, observed: &Observed, now: Now) -> Vec<Entry> {
        self.totals.requests += 1;
        self.totals.rtpengine.add(observed.took);
        let (call_id, differences) = match self.compare(observed, now) {
            Ok(found) => found,
            Err(why) => {
                self.totals.skip(why, 1);
                return Vec::new();
            }
        };
        match differences.is_empty() {
            true => self.totals.same += 1,
            false => self.totals.different += 1,
        }
        let mut entries = Vec::new();
        for difference in differences {
            self.totals.differ(&difference);
            let kind = difference.to_string();
            let is_known = self.written.contains_key(&kind);
            if !is_known && self.written.len() >= SHADOW_KINDS {
                continue;
            }
            let written = self.written.entry(kind.clone()).or_default();
            if *written >= SHADOW_EXAMPLES {
                continue;
            }
            *written += 1;
            entries.push(Entry::Difference {
                time: now.unix.as_secs(),
                call_id: call_id.clone(),
                difference: kind,
                rtpengine: difference.theirs,
                windlass: difference.ours,
                reason: difference.reason,
            });
        }
        entries
    }

    /// Counts a request that did not get as far as being compared.
    pub fn skip(&mut self, why: Skipped, count: u64) {
        self.totals.requests += count;
        self.totals.skip(why, count);
    }

    /// The counts since the last time; `None` if nothing was asked. Forgets calls that have ended
    /// or of which nothing was heard for long.
    pub fn turn(&mut self, now: Now) -> Option<Entry> {
        let explainer = AssertUnwindSafe(&mut self.explainer);
        let is_well = catch_unwind(move || {
            let explainer = explainer;
            explainer.0.turn(now);
        });
        if is_well.is_err() {
            self.begin_anew(now);
        }
        self.calls.retain(|_, call| {
            let silence = now.instant.saturating_duration_since(call.last);
            let patience = match call.is_over {
                true => self.config.timeouts.delete_delay + Duration::from_secs(60),
                false => SHADOW_FORGETS,
            };
            silence < patience
        });
        let totals = std::mem::take(&mut self.totals);
        (totals.requests > 0).then_some(Entry::Totals {
            time: now.unix.as_secs(),
            totals,
        })
    }

    fn compare(
        &mut self,
        observed: &Observed,
        now: Now,
    ) -> Result<(String, Vec<Difference>), Skipped> {
        let request = decode(&observed.request).ok_or(Skipped::Unreadable)?;
        let theirs = decode(&observed.reply).ok_or(Skipped::Unreadable)?;
        let command = request.get_str("command").ok_or(Skipped::Unreadable)?;
        let call_id = match request.get("call-id") {
            Some(Value::Bytes(id)) => id.to_vec(),
            _ => return Err(Skipped::Media),
        };
        if !is_compared(command) {
            // It may change the call, such as `block DTMF`.
            if self.calls.contains_key(&call_id) {
                self.run(&observed.request, now)?;
            }
            return Err(Skipped::Media);
        }
        let is_full = self.calls.len() >= SHADOW_CALLS;
        match self.calls.get_mut(&call_id) {
            Some(call) => call.last = now.instant,
            None if !begins_call(command, &request) => return Err(Skipped::Midway),
            None if is_full => return Err(Skipped::Full),
            None => {
                let call = Call {
                    theirs: Names::default(),
                    ours: Names::default(),
                    last: now.instant,
                    is_over: false,
                };
                self.calls.insert(call_id.clone(), call);
            }
        }
        let (ours, lines) = self.run(&observed.request, now)?;
        let mut differences = difference::of_replies(command, &theirs, &ours);
        let call = self.calls.get_mut(&call_id).ok_or(Skipped::Failed)?;
        call.is_over = command == "delete";
        if let (Some(their_sdp), Some(our_sdp)) = (theirs.get_str("sdp"), ours.get_str("sdp")) {
            let said = request.get_str("sdp").unwrap_or_default();
            let their_text = call.theirs.plain(said, their_sdp);
            let our_text = call.ours.plain(said, our_sdp);
            let mut found = difference::of_sdps(command, &their_text, &our_text);
            explain(&mut found, (our_sdp, &our_text), &lines);
            differences.append(&mut found);
        }
        Ok((String::from_utf8_lossy(&call_id).into_owned(), differences))
    }

    /// The own reply, with its SDP's lines and their reasons.
    fn run(&mut self, request: &[u8], now: Now) -> Result<(Dict, Vec<Explained>), Skipped> {
        let explainer = AssertUnwindSafe(&mut self.explainer);
        #[expect(clippy::disallowed_methods, reason = "what this takes is reported")]
        let begin = Instant::now();
        let explanation = catch_unwind(move || {
            let explainer = explainer;
            explainer.0.set_now(now);
            explainer.0.explain(&Message {
                line: 0,
                cookie: None,
                payload: request,
            })
        });
        self.totals.windlass.add(begin.elapsed());
        match explanation {
            Ok(explanation) => Ok((explanation.reply, explanation.lines)),
            Err(_) => {
                self.begin_anew(now);
                Err(Skipped::Failed)
            }
        }
    }

    /// After a panic the calls may be half changed: none of them is compared any more.
    fn begin_anew(&mut self, now: Now) {
        self.calls.clear();
        if let Ok(explainer) = explainer(&self.config, now) {
            self.explainer = explainer;
        }
    }
}

fn explainer(config: &Config, now: Now) -> Result<Explainer, CertificateError> {
    let mut config = config.clone();
    // No packet of a call comes here, and rtpengine says when one ends.
    for limit in [
        &mut config.timeouts.media,
        &mut config.timeouts.silent,
        &mut config.timeouts.offer,
    ] {
        *limit = SHADOW_FORGETS;
    }
    config.timeouts.final_limit = None;
    Explainer::new(&config, now)
}

fn decode(message: &[u8]) -> Option<Dict> {
    let tape = bencode::decode(message, SHADOW_ELEMENTS).ok()?;
    Some(tape.root().to_dict())
}

/// Commands whose replies depend on signalling alone.
fn is_compared(command: &str) -> bool {
    matches!(
        command,
        "offer"
            | "answer"
            | "delete"
            | "publish"
            | "subscribe request"
            | "subscribe answer"
            | "unsubscribe"
    )
}

/// Whether a request can be the first one of a call.
fn begins_call(command: &str, request: &Dict) -> bool {
    let has_answered = request.get("to-tag").is_some();
    matches!(command, "offer" if !has_answered) || command == "publish"
}

/// Gives each difference the reason of the line of ours that it is about, or of the line of the
/// sender that ours leaves out.
fn explain(differences: &mut [Difference], ours: (&str, &str), lines: &[Explained]) {
    for difference in differences {
        let printed = difference.ours.as_deref().and_then(|plain| {
            let mut both = ours.0.lines().zip(ours.1.lines());
            Some(both.find(|(_, named)| *named == plain)?.0)
        });
        let left_out = difference.theirs.as_deref();
        let is_about = |line: &&Explained| match printed {
            Some(printed) => line.line == printed,
            None => line.mark == '-' && Some(line.line.as_str()) == left_out,
        };
        let line = lines.iter().find(is_about);
        difference.reason = match line {
            Some(line) if line.mark == ' ' => Some("as received".to_owned()),
            Some(line) => line.reason.clone(),
            None => None,
        };
    }
}

#[cfg(test)]
mod tests;
