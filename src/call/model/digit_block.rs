//! Orders of a request for digits: at once, and when a code is typed (spec: media-behaviour §11,
//! ng-protocol §6 `DTMF-security` and `trigger…`).

use std::time::{Duration, Instant};

use windlass_ng::request::{DtmfOptions, DtmfSecurity};
use windlass_ng::{Request, errors};

use super::call::Call;
use super::leg::{Leg, LegIndex};
use crate::flow::digits::{DigitBlock, DigitRule};
use crate::limits::TONE_FREQUENCIES;
use crate::media::dtmf::{Digit, Trigger};
use crate::media::g711::Tone;

/// Silence and tones are made where no codec is needed for it.
pub(crate) const NO_VOICE: &str =
    "unsupported: only PCMU, PCMA and (silent) G722 can be put in place of DTMF";
const NO_CODE: &str = "unsupported: trigger and trigger-end are codes of up to 32 DTMF digits";
const BAD_TONE: &str = "unsupported: frequency is up to 4 values from 1 to 3999 Hz";

/// A tone where the request says nothing.
const TONE_HZ: u16 = 400;
const TONE_VOLUME: u8 = 10;

/// An order for digits.
#[derive(Debug, Default)]
pub(crate) struct DigitOrder {
    /// Rule from now on.
    rule: DigitRule,
    /// Rule for the time after a code is typed.
    trigger: Option<Terms>,
}

impl DigitOrder {
    /// The order of a `block DTMF`, or of an offer or answer with flag `block-DTMF`.
    pub(crate) fn of(options: &DtmfOptions, gap: Duration) -> Result<Self, &'static str> {
        let named = options.security.map(|security| rule(security, options));
        let named = named.transpose()?;
        let Some(code) = &options.trigger else {
            let rule = named.unwrap_or(DigitRule::Drop);
            return Ok(Self {
                rule,
                trigger: None,
            });
        };
        // Waiting for a code, nothing is blocked unless the request says so itself.
        let rule = named.unwrap_or(DigitRule::Pass);
        let trigger = Terms::new(code, rule, options, gap)?;
        Ok(Self {
            rule,
            trigger: Some(trigger),
        })
    }

    /// Every rule that may come into force.
    pub(crate) fn rules(&self) -> impl Iterator<Item = DigitRule> {
        let trigger = self.trigger.as_ref();
        let triggered = trigger.map(|trigger| [trigger.during, trigger.after]);
        std::iter::once(self.rule).chain(triggered.into_iter().flatten())
    }
}

/// The rule of a mode.
fn rule(security: DtmfSecurity, options: &DtmfOptions) -> Result<DigitRule, &'static str> {
    let volume = options.volume.map(|volume| {
        let volume = volume.unsigned_abs().min(63);
        u8::try_from(volume).unwrap_or(63)
    });
    Ok(match security {
        DtmfSecurity::Off => DigitRule::Pass,
        DtmfSecurity::Drop => DigitRule::Drop,
        DtmfSecurity::Silence => DigitRule::Silence,
        DtmfSecurity::Tone => DigitRule::Tone(Tone {
            hz: frequencies(&options.frequencies)?,
            volume: volume.unwrap_or(TONE_VOLUME),
        }),
        DtmfSecurity::Random => DigitRule::Random { volume },
        DtmfSecurity::Zero => DigitRule::Digit {
            digit: Digit::from_code(0).ok_or(errors::CODE_RANGE)?,
            volume,
        },
        DtmfSecurity::Dtmf => DigitRule::Digit {
            digit: options
                .digit
                .as_deref()
                .and_then(digit)
                .ok_or(errors::CODE_RANGE)?,
            volume,
        },
    })
}

fn frequencies(wanted: &[i64]) -> Result<[u16; TONE_FREQUENCIES], &'static str> {
    let mut hz = [0; TONE_FREQUENCIES];
    if wanted.len() > TONE_FREQUENCIES {
        return Err(BAD_TONE);
    }
    for (slot, wanted) in hz.iter_mut().zip(wanted) {
        let is_audible = (1..4000).contains(wanted);
        let wanted = u16::try_from(*wanted).ok().filter(|_| is_audible);
        *slot = wanted.ok_or(BAD_TONE)?;
    }
    if wanted.is_empty()
        && let Some(first) = hz.first_mut()
    {
        *first = TONE_HZ;
    }
    Ok(hz)
}

/// A digit by its character or event code.
pub(crate) fn digit(code: &str) -> Option<Digit> {
    let mut characters = code.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) => Digit::from_char(one),
        _ => code.parse().ok().and_then(Digit::from_code),
    }
}

/// A code that changes the rule for digits, and the end of that change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    code: String,
    end_code: Option<String>,
    /// The rule once the code was typed.
    during: DigitRule,
    /// The rule from its end on.
    after: DigitRule,
    /// Longest duration.
    end_after: Option<Duration>,
    /// Largest number of digits.
    end_digits: Option<u64>,
    gap: Duration,
}

impl Terms {
    fn new(
        code: &str,
        before: DigitRule,
        options: &DtmfOptions,
        gap: Duration,
    ) -> Result<Self, &'static str> {
        let mut codes = std::iter::once(code).chain(options.trigger_end.as_deref());
        if codes.any(|code| Trigger::new(code, gap).is_none()) {
            return Err(NO_CODE);
        }
        let mode = |security: Option<DtmfSecurity>| security.map(|s| rule(s, options)).transpose();
        let positive = |value: Option<i64>| {
            let value = value.and_then(|value| u64::try_from(value).ok());
            value.filter(|value| *value > 0)
        };
        Ok(Self {
            code: code.to_owned(),
            end_code: options.trigger_end.clone(),
            during: mode(options.security_trigger)?.unwrap_or(DigitRule::Drop),
            after: mode(options.security_trigger_end)?.unwrap_or(before),
            end_after: positive(options.trigger_end_time).map(Duration::from_millis),
            end_digits: positive(options.trigger_end_digits),
            gap,
        })
    }
}

/// A code that is waited for, or the block that it has begun.
#[derive(Clone, Debug)]
pub(crate) struct DigitTrigger {
    terms: Terms,
    /// Digits of the code that parties have typed so far.
    typed: Vec<(LegIndex, Trigger)>,
    running: Option<Running>,
}

/// A block that a code has begun.
#[derive(Clone, Copy, Debug)]
struct Running {
    until: Option<Instant>,
    digits_left: Option<u64>,
}

impl DigitTrigger {
    fn new(terms: Terms) -> Self {
        Self {
            terms,
            typed: Vec::new(),
            running: None,
        }
    }

    /// Takes a digit of a party; returns the rule for digits from now on, if it changes.
    pub(crate) fn on_digit(
        &mut self,
        leg: LegIndex,
        digit: Digit,
        now: Instant,
    ) -> Option<DigitBlock> {
        let is_over = |running: &Running| running.until.is_some_and(|until| until <= now);
        if self.running.as_ref().is_some_and(is_over) {
            self.running = None;
            self.typed.clear();
        }
        let completes = self.completes(leg, digit, now);
        let Some(mut running) = self.running else {
            return completes.then(|| self.begin(now));
        };
        running.digits_left = running.digits_left.map(|left| left.saturating_sub(1));
        if !completes && running.digits_left != Some(0) {
            self.running = Some(running);
            return None;
        }
        self.running = None;
        self.typed.clear();
        Some(DigitBlock::from_now_on(self.terms.after))
    }

    /// Whether the digit is the last of the code that is waited for.
    fn completes(&mut self, leg: LegIndex, digit: Digit, now: Instant) -> bool {
        let code = match self.running {
            None => Some(&self.terms.code),
            Some(_) => self.terms.end_code.as_ref(),
        };
        let Some(code) = code else { return false };
        let known = self.typed.iter().position(|(of, _)| *of == leg);
        let index = known.or_else(|| {
            let trigger = Trigger::new(code, self.terms.gap)?;
            self.typed.push((leg, trigger));
            Some(self.typed.len() - 1)
        });
        let typed = index.and_then(|index| self.typed.get_mut(index));
        typed.is_some_and(|(_, trigger)| trigger.on_digit(digit, now))
    }

    fn begin(&mut self, now: Instant) -> DigitBlock {
        let until = self.terms.end_after.map(|time| now + time);
        self.typed.clear();
        self.running = Some(Running {
            until,
            digits_left: self.terms.end_digits,
        });
        DigitBlock {
            rule: self.terms.during,
            until: until.map(|until| (until, self.terms.after)),
        }
    }
}

impl Leg {
    /// Sets the rule for the party's digits.
    pub(crate) fn order_digits(&mut self, order: DigitOrder) {
        if order.trigger.is_none() && order.rule == DigitRule::Pass && self.extras.is_none() {
            return;
        }
        let extras = self.extras_mut();
        extras.muted.dtmf = DigitBlock::from_now_on(order.rule);
        extras.trigger = order
            .trigger
            .map(|terms| Box::new(DigitTrigger::new(terms)));
    }

    /// The same, as an offer or answer of the party says. It does not fail over what cannot be
    /// done, and does not end what a code began: a session refresh says the same again.
    pub(crate) fn order_digits_in_passing(&mut self, request: &Request, gap: Duration) {
        let blocks = request.flags.block_dtmf();
        if !blocks && request.dtmf.trigger.is_none() {
            return;
        }
        let mut options = request.dtmf.clone();
        if blocks {
            // Not only once a code is typed.
            options.security.get_or_insert(DtmfSecurity::Drop);
        }
        let order = DigitOrder::of(&options, gap).unwrap_or_else(|reason| {
            tracing::warn!(reason, "DTMF is dropped instead");
            DigitOrder {
                rule: DigitRule::Drop,
                trigger: None,
            }
        });
        let trigger = self
            .extras
            .as_deref()
            .and_then(|extras| extras.trigger.as_deref());
        let is_same = trigger.is_some_and(|trigger| order.trigger.as_ref() == Some(&trigger.terms));
        if !is_same {
            self.order_digits(order);
        }
    }
}

impl Call {
    /// Sets the rule for all parties' digits.
    pub(crate) fn order_digits(&mut self, order: DigitOrder) {
        let extras = self.extras_mut();
        extras.muted.dtmf = DigitBlock::from_now_on(order.rule);
        extras.trigger = order
            .trigger
            .map(|terms| Box::new(DigitTrigger::new(terms)));
    }

    /// When blocks end, or their rules change.
    pub(crate) fn blocks_due(&self) -> impl Iterator<Item = Instant> {
        let extras = self.legs.iter().filter_map(|leg| leg.extras.as_deref());
        let of_legs = extras.map(|extras| &extras.muted.dtmf);
        let of_call = self.extras.as_deref().map(|extras| &extras.muted.dtmf);
        let until = of_legs.chain(of_call).filter_map(|block| block.until);
        until.map(|(end, _)| end)
    }

    /// Settles blocks whose time is over. Gives back whether there were any.
    pub(crate) fn end_blocks(&mut self, now: Instant) -> bool {
        let extras = self
            .legs
            .iter_mut()
            .filter_map(|leg| leg.extras.as_deref_mut());
        let of_legs = extras.map(|extras| &mut extras.muted.dtmf);
        let of_call = self
            .extras
            .as_deref_mut()
            .map(|extras| &mut extras.muted.dtmf);
        let mut ended = false;
        for block in of_legs.chain(of_call) {
            if let Some((end, after)) = block.until
                && end <= now
            {
                *block = DigitBlock::from_now_on(after);
                ended = true;
            }
        }
        ended
    }
}
