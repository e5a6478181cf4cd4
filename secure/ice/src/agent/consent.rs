//! Pairs that media uses, and how they are kept alive: consent checks (RFC 7675) or keep-alives
//! (RFC 8445 §11).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::{Rng, RngCore};

use super::candidate::Component;
use super::event::Event;
use super::output::{Age, Outgoing};
use super::pair::Stage;
use super::{Agent, Freshness, Mode, Phase};
use crate::limits;
use crate::stun::TransactionId;

/// A pair that media uses.
#[derive(Debug)]
pub(super) struct Use {
    /// The pair, if it is one of the current generation.
    pub(super) pair: u32,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) is_selected: bool,
    /// When the peer last said something authenticated on it.
    pub(super) heard: Instant,
    pub(super) liveness: Liveness,
}

/// How a pair is kept alive.
#[derive(Debug)]
pub(super) enum Liveness {
    /// By requests, whose responses are the peer's consent.
    Consent {
        next: Instant,
        expires: Instant,
        /// The last two requests: what takes longer than 8 s is no use to a call.
        recent: [Option<TransactionId>; 2],
    },
    /// By indications, for NATs on the way.
    KeepAlive { next: Instant },
}

/// A pair in use that has not been heard of for this long may be left for another nominated one.
const DOUBT: Duration = Duration::from_secs(12);

impl Use {
    /// When something is to be done; `None` never comes.
    pub(super) fn next_timeout(&self) -> Instant {
        match self.liveness {
            Liveness::Consent { next, expires, .. } => next.min(expires),
            Liveness::KeepAlive { next } => next,
        }
    }

    pub(super) fn is_in_doubt(&self, now: Instant) -> bool {
        self.heard + DOUBT <= now
    }

    /// Takes a response as the peer's consent, if it answers one of the last requests.
    pub(super) fn awaits(&self, transaction: TransactionId) -> bool {
        match &self.liveness {
            Liveness::Consent { recent, .. } => recent.contains(&Some(transaction)),
            Liveness::KeepAlive { .. } => false,
        }
    }

    pub(super) fn consent(&mut self, now: Instant) {
        self.heard = now;
        if let Liveness::Consent { expires, .. } = &mut self.liveness {
            *expires = now + limits::CONSENT_EXPIRY;
        }
    }
}

impl Liveness {
    /// Of a pair whose peer answered at `proven`.
    pub(super) fn new(
        mode: Mode,
        freshness: Freshness,
        proven: Instant,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Self {
        match (mode, freshness) {
            (Mode::Full, Freshness::Consent) => Self::Consent {
                next: (proven + interval(rng)).max(now),
                expires: proven + limits::CONSENT_EXPIRY,
                recent: [None; 2],
            },
            _ => Self::KeepAlive {
                next: now + limits::KEEPALIVE,
            },
        }
    }
}

/// 4 to 6 seconds, so that agents do not fall into step (RFC 7675 §5.1).
fn interval(rng: &mut dyn RngCore) -> Duration {
    limits::CONSENT_INTERVAL.mul_f64(rng.random_range(0.8..1.2))
}

pub(super) fn transaction(rng: &mut dyn RngCore) -> TransactionId {
    let mut id = [0; 12];
    rng.fill_bytes(&mut id);
    TransactionId(id)
}

impl Agent {
    /// Sends what keeps pairs in use alive, and gives up those that the peer does not consent to.
    pub(super) fn keep_alive(&mut self, now: Instant, rng: &mut dyn RngCore) {
        for age in [Age::Current, Age::Previous] {
            for component in Component::ALL {
                let Some(used) = self.used_mut(age, component) else {
                    continue;
                };
                match &mut used.liveness {
                    Liveness::Consent { expires, .. } if *expires <= now => {
                        self.lose(age, component);
                    }
                    Liveness::Consent { next, recent, .. } if *next <= now => {
                        let transaction = transaction(rng);
                        *next = now + interval(rng);
                        *recent = [Some(transaction), recent[0]];
                        self.counters.consent_out = self.counters.consent_out.wrapping_add(1);
                        self.send(Outgoing::Consent {
                            age,
                            component,
                            transaction,
                        });
                    }
                    Liveness::KeepAlive { next } if *next <= now => {
                        *next = now + limits::KEEPALIVE;
                        let (local, to) = (used.local, used.remote);
                        let transaction = transaction(rng);
                        self.send(Outgoing::KeepAlive {
                            local,
                            to,
                            transaction,
                        });
                    }
                    _ => {}
                }
            }
        }
    }

    fn lose(&mut self, age: Age, component: Component) {
        let uses = match age {
            Age::Current => &mut self.current.used,
            Age::Previous => match &mut self.previous {
                Some(previous) => &mut previous.used,
                None => return,
            },
        };
        let Some(used) = uses.get_mut(component).take() else {
            return;
        };
        if age == Age::Current {
            if let Some(pair) = self.current.pair_mut(used.pair) {
                pair.stage = Stage::Lost;
                pair.is_nominated = false;
            }
            if used.is_selected {
                self.current.phase = Phase::Failed;
            }
            self.is_unsettled = !used.is_selected;
        }
        self.tell(Event::ConsentLost {
            component,
            local: used.local,
            remote: used.remote,
        });
    }
}
