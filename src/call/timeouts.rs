//! Ends of calls by time (spec: media-behaviour §4).

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::model::call::Call;
use super::model::leg::{Leg, LegIndex, Presence};
use super::model::media::{EndpointMap, Media};

/// Longest durations of the states of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Time without a packet on any stream that may receive.
    pub media: Duration,
    /// Time without a packet, when no stream may receive (hold) or has a port.
    pub silent: Duration,
    /// Time without an answer, or without any media.
    pub offer: Duration,
    /// Longest call; `None`: no limit.
    pub total: Option<Duration>,
    /// Time from `delete` to the end, unless the command names another.
    pub delete_delay: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            media: Duration::from_secs(60),
            silent: Duration::from_secs(3600),
            offer: Duration::from_secs(3600),
            total: None,
            delete_delay: Duration::from_secs(30),
        }
    }
}

/// Reasons why a call ended (names as in CDRs, media-behaviour §16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A command, or the end of its delay.
    Regular,
    /// The operator, or the end of the relay.
    Forced,
    /// No media.
    Timeout,
    /// No media while on hold.
    SilentTimeout,
    /// No answer.
    OfferTimeout,
    /// Total time is up.
    FinalTimeout,
}

impl EndReason {
    /// Name in logs and CDRs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "REGULAR",
            Self::Forced => "FORCED",
            Self::Timeout => "TIMEOUT",
            Self::SilentTimeout => "SILENT_TIMEOUT",
            Self::OfferTimeout => "OFFER_TIMEOUT",
            Self::FinalTimeout => "FINAL_TIMEOUT",
        }
    }
}

impl Call {
    /// Takes out the legs whose deletion is due. Gives back whether anything changed.
    pub(crate) fn release_due(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for leg in &mut self.legs {
            if matches!(leg.presence, Presence::Leaving(due) if due <= now) {
                leg.presence = Presence::Gone;
                changed = true;
            }
        }
        if changed {
            self.release_absent();
        }
        changed
    }

    /// Time in which nothing is due, if nothing happens in the call.
    pub(crate) fn nothing_due(
        &self,
        timeouts: &Timeouts,
        now: Instant,
        packet_clock_ms: u64,
    ) -> Duration {
        let age = now.saturating_duration_since(self.created.instant);
        let idle = now.saturating_duration_since(self.last_signal.instant);
        let leaving = self.legs.iter().filter_map(|leg| match leg.presence {
            Presence::Leaving(due) => Some(due),
            Presence::Here | Presence::Gone => None,
        });
        let due = leaving.chain(self.deletion).chain(self.blocks_due());
        let due = due.map(|due| due.saturating_duration_since(now));
        let unanswered = match self.legs.is_empty() {
            true => FRAGMENT_PATIENCE,
            false => timeouts.offer,
        };
        let total = timeouts.total.and_then(|limit| limit.checked_sub(age));
        let ours = self.time_since_take_over(now).unwrap_or(Duration::MAX);
        let legs = self.legs.iter().enumerate();
        let legs = legs.filter(|(_, leg)| leg.is_here());
        let medias = legs.flat_map(|(index, leg)| {
            let signalled_at = self.signalled_at(index, leg);
            let idle = move |media| idle_time(signalled_at, media, now, packet_clock_ms).min(ours);
            leg.medias.iter().map(idle)
        });
        // Which of them counts depends on the media, and on others: none comes before the first.
        let limits_of = |idle: Duration| {
            [timeouts.media, timeouts.silent, timeouts.offer].map(|limit| limit.checked_sub(idle))
        };
        let own = [unanswered.checked_sub(idle), total];
        let limits = medias.flat_map(limits_of).chain(own);
        due.chain(limits.flatten()).min().unwrap_or(Duration::MAX)
    }

    /// When signalling touched a leg last, be it with an offer that waits.
    fn signalled_at(&self, index: LegIndex, leg: &Leg) -> Instant {
        let proposed_at = self.proposed_at(index);
        proposed_at.map_or(leg.signalled_at, |at| at.max(leg.signalled_at))
    }

    /// Whether the call is over, and why. `packet_clock_ms` is the data plane's clock, on which
    /// the last packets are marked.
    pub(crate) fn expired(
        &self,
        timeouts: &Timeouts,
        now: Instant,
        packet_clock_ms: u64,
    ) -> Option<EndReason> {
        if self.deletion.is_some_and(|due| due <= now) {
            return Some(EndReason::Regular);
        }
        let age = now.saturating_duration_since(self.created.instant);
        if timeouts.total.is_some_and(|limit| age >= limit) {
            return Some(EndReason::FinalTimeout);
        }
        if self.is_foreign() {
            return None;
        }
        let ours = self.time_since_take_over(now).unwrap_or(Duration::MAX);
        let mut receiving = Vitals::default();
        let mut silent = Vitals::default();
        for (index, leg) in self.legs.iter().enumerate() {
            if !leg.is_here() {
                continue;
            }
            let signalled_at = self.signalled_at(index, leg);
            for media in &leg.medias {
                let idle = idle_time(signalled_at, media, now, packet_clock_ms).min(ours);
                let has_no_port = media.rejected || media.ports().is_none();
                if media.endpoint.is_none() && !media.rejected {
                    receiving.observe(idle < timeouts.offer, EndReason::OfferTimeout);
                } else if media.recv && !has_no_port {
                    receiving.observe(idle < timeouts.media, EndReason::Timeout);
                } else {
                    silent.observe(idle < timeouts.silent, EndReason::SilentTimeout);
                }
            }
        }
        let decisive = if receiving.reason.is_some() {
            receiving
        } else {
            silent
        };
        match decisive.reason {
            Some(_) if decisive.alive => None,
            Some(reason) => Some(reason),
            // Without a media only its age ends the call, unless it would live for ever.
            None if timeouts.total.is_some() && !self.legs.is_empty() => None,
            None => {
                let idle = now.saturating_duration_since(self.last_signal.instant);
                let limit = if self.legs.is_empty() {
                    FRAGMENT_PATIENCE
                } else {
                    timeouts.offer
                };
                (idle >= limit).then_some(EndReason::OfferTimeout)
            }
        }
    }
}

/// Time for which a fragment waits for its offer (ng-protocol §10.1).
pub(crate) const FRAGMENT_PATIENCE: Duration = Duration::from_secs(3);

/// Signs of life of a group of streams.
#[derive(Clone, Copy, Default)]
struct Vitals {
    alive: bool,
    /// Reason why the last examined stream is dead; `None` if none was examined.
    reason: Option<EndReason>,
}

impl Vitals {
    fn observe(&mut self, alive: bool, reason: EndReason) {
        self.alive |= alive;
        self.reason = Some(reason);
    }
}

/// Time since the last packet or signalling of a media.
fn idle_time(signalled_at: Instant, media: &Media, now: Instant, packet_clock_ms: u64) -> Duration {
    let signalled = now.saturating_duration_since(signalled_at);
    let ports = media.maps.iter().flat_map(EndpointMap::ports);
    let last_packet_ms = ports
        .map(|port| port.stats.last_packet_ms.load(Relaxed))
        .max();
    match last_packet_ms {
        Some(at) if at > 0 => {
            // Marked one too high, so that 0 can mean "never".
            let idle = packet_clock_ms.saturating_sub(at - 1);
            signalled.min(Duration::from_millis(idle))
        }
        _ => signalled,
    }
}
