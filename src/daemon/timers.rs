//! The timer thread: it lets time act on calls, samples the load and passes on flow events.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::now;
use super::tell::{DigitReports, tell};
use crate::call::{Calls, Loss};
use crate::config::names::host_addresses;
use crate::dataplane::FlowEvent;
use crate::media::reach::Rules;
use crate::observe::load::{
    CPU_FILE, LOAD_AVERAGE_FILE, LoadLimits, LoadSampler, Reading, SAMPLE_INTERVAL,
};

/// The running thread; it ends when this is dropped.
pub(super) struct Timers {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Timers {
    pub(super) fn start(
        calls: Arc<Calls>,
        reach: Arc<Rules>,
        events: Receiver<FlowEvent>,
        reports: DigitReports,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut turns = Turns {
            calls,
            reach,
            reports,
            sampler: LoadSampler::default(),
            losses: Vec::new(),
        };
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("timers".to_owned());
        let thread = thread.spawn(move || turns.run(&events, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Turns {
    calls: Arc<Calls>,
    reach: Arc<Rules>,
    reports: DigitReports,
    sampler: LoadSampler,
    /// As last said.
    losses: Vec<Loss>,
}

impl Turns {
    fn run(&mut self, events: &Receiver<FlowEvent>, stop: &AtomicBool) {
        const TURN: Duration = Duration::from_secs(1);
        const AT_MOST: Duration = Duration::from_millis(200);
        let mut next = now().instant + TURN;
        let mut next_sample = now().instant;
        while !stop.load(Relaxed) {
            let left = next.saturating_duration_since(now().instant);
            match events.recv_timeout(left.min(AT_MOST)) {
                Ok(event) => tell(&self.calls, &self.reports, &event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = now();
            if now.instant >= next_sample {
                next_sample = now.instant + SAMPLE_INTERVAL;
                self.sample(now.instant);
            }
            if now.instant >= next {
                next = now.instant + TURN;
                self.follow_addresses();
                self.calls.handle_timeout(now);
                self.renew_certificate(now.unix);
                self.tell_losses();
            }
        }
    }

    /// Calls that begin now get a certificate that outlives them.
    fn renew_certificate(&self, unix: Duration) {
        match self.calls.identity().renew_certificate(unix) {
            Ok(false) => {}
            Ok(true) => tracing::info!("new certificate for DTLS"),
            Err(error) => tracing::error!(%error, "the certificate for DTLS cannot be renewed"),
        }
    }

    /// Media goes to no address of this host, and addresses come and go.
    fn follow_addresses(&self) {
        let addresses = host_addresses();
        // There is always one, unless the system does not say.
        if !addresses.is_empty() {
            self.reach.set_host(addresses);
        }
    }

    /// Says, at most once a turn, what was lost since.
    fn tell_losses(&mut self) {
        let losses = self.calls.losses();
        for (loss, lost) in since(&self.losses, &losses) {
            if let Some(warning) = loss.warning {
                tracing::warn!(lost, total = loss.count, "{warning}");
            }
        }
        self.losses = losses;
    }

    fn sample(&mut self, now: std::time::Instant) {
        let limits = self.calls.limits().load;
        if limits == LoadLimits::default() {
            // The operator may have lifted the one that was reached.
            self.calls.set_overload(None);
            return;
        }
        let (load_average, cpu) = (
            fs::read_to_string(LOAD_AVERAGE_FILE).ok(),
            fs::read_to_string(CPU_FILE).ok(),
        );
        let load = self.sampler.sample(
            now,
            &Reading {
                load_average: load_average.as_deref(),
                cpu: cpu.as_deref(),
                relayed_bytes: self.calls.relayed_bytes(),
            },
        );
        self.calls.set_overload(limits.check(&load).err());
    }
}

/// What has grown, and by how much.
fn since<'a>(before: &'a [Loss], now: &'a [Loss]) -> impl Iterator<Item = (&'a Loss, u64)> {
    let grown = now.iter().map(|loss| {
        let same = before.iter().find(|before| before.name == loss.name);
        let before = same.map_or(0, |before| before.count);
        (loss, loss.count.saturating_sub(before))
    });
    grown.filter(|&(_, lost)| lost > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_once() {
        let loss = |name, count| Loss {
            name,
            warning: Some("lost"),
            count,
        };
        let told = |before: &[Loss], now: &[Loss]| -> Vec<(&str, u64)> {
            let grown = since(before, now);
            grown.map(|(loss, lost)| (loss.name, lost)).collect()
        };
        let first = [loss("events", 0), loss("lines", 2)];
        assert_eq!(told(&[], &first), [("lines", 2)]);
        assert_eq!(told(&first, &first), []);
        let later = [loss("events", 7), loss("lines", 3)];
        assert_eq!(told(&first, &later), [("events", 7), ("lines", 1)]);
    }
}
