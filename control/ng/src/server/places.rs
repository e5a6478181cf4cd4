//! Who makes room when a listener for streams is full.

use std::{
    collections::HashMap,
    net::{IpAddr, Shutdown, TcpStream},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Connections that a listener keeps.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all.
    pub connections: usize,
    /// Of one source address.
    pub per_source: usize,
    /// One that was heard since is not closed for another of the same source.
    pub silence: Duration,
}

/// One connection, as its thread and the listener share it.
#[derive(Debug)]
pub struct Place {
    stream: TcpStream,
    source: IpAddr,
    since: Instant,
    /// When it was last heard, in ms after `since`; [`BUSY`] while it is served.
    heard_ms: AtomicU64,
    must_go: AtomicBool,
}

const BUSY: u64 = u64::MAX;

impl Place {
    /// A connection that came at `now`.
    pub fn new(stream: TcpStream, source: IpAddr, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            stream,
            source,
            since: now,
            heard_ms: AtomicU64::new(0),
            must_go: AtomicBool::new(false),
        })
    }

    /// Its stream. Reading ends when the place is needed for another.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether the place is needed for another: what came so far is not to be served.
    pub fn must_go(&self) -> bool {
        self.must_go.load(Ordering::Relaxed)
    }

    /// A request came and is being served: the connection is not silent until [`Self::served`].
    pub fn serving(&self) {
        self.heard_ms.store(BUSY, Ordering::Relaxed);
    }

    /// The request was served at `now`.
    pub fn served(&self, now: Instant) {
        let heard = now.saturating_duration_since(self.since).as_millis();
        let heard = u64::try_from(heard).unwrap_or(BUSY - 1);
        self.heard_ms.store(heard, Ordering::Relaxed);
    }

    fn silence(&self, now: Instant) -> Duration {
        match self.heard_ms.load(Ordering::Relaxed) {
            BUSY => Duration::ZERO,
            heard => {
                let heard = self.since + Duration::from_millis(heard);
                now.saturating_duration_since(heard)
            }
        }
    }
}

/// The connections of a listener, each with its thread.
#[derive(Debug)]
pub struct Places {
    bounds: Bounds,
    /// The thread has the stream, so that it is closed when that ends.
    held: Vec<(Weak<Place>, JoinHandle<()>)>,
    /// Threads of connections that had to go and have not seen it yet.
    leaving: Vec<JoinHandle<()>>,
}

impl Places {
    /// None yet.
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            held: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// Makes room for a connection of `source`: beyond the bound of that source by closing its own
    /// that is silent for longest; beyond the bound of all by closing one of the source that has
    /// most. `false`: all of these were heard just now, so the new one has to go.
    pub fn make_room(&mut self, source: IpAddr, now: Instant) -> bool {
        self.held.retain(|(_, thread)| !thread.is_finished());
        self.leaving.retain(|thread| !thread.is_finished());
        let open = self.held.iter().enumerate();
        let open = open.filter_map(|(index, (place, _))| {
            let place = place.upgrade()?;
            Some((index, (place.source, place.silence(now))))
        });
        let leaver = match leaver(open, source, self.bounds) {
            Room::Free => return true,
            Room::None => return false,
            Room::Of(index) => index,
        };
        if self.leaving.len() >= self.bounds.connections || leaver >= self.held.len() {
            return false;
        }
        let (place, thread) = self.held.swap_remove(leaver);
        self.leaving.push(thread);
        let Some(place) = place.upgrade() else {
            // It has ended meanwhile.
            return true;
        };
        place.must_go.store(true, Ordering::Relaxed);
        // One whose peer has gone meanwhile ends by itself.
        let _ = place.stream.shutdown(Shutdown::Both);
        tracing::info!(peer = %place.source, "a silent connection made room for another");
        true
    }

    /// Keeps a connection that [`Self::make_room`] made room for.
    pub fn hold(&mut self, place: &Arc<Place>, thread: JoinHandle<()>) {
        self.held.push((Arc::downgrade(place), thread));
    }

    /// Waits until all threads have ended.
    pub fn join(self) {
        let held = self.held.into_iter().map(|(_, thread)| thread);
        for thread in held.chain(self.leaving) {
            // A panic was logged by the thread itself.
            let _ = thread.join();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Free,
    /// Once this one is closed.
    Of(usize),
    None,
}

/// Which of the `open` connections, by their numbers, each with its silence, makes room for one more of `source`.
fn leaver(
    open: impl Iterator<Item = (usize, (IpAddr, Duration))>,
    source: IpAddr,
    bounds: Bounds,
) -> Room {
    /// What one source holds.
    #[derive(Clone, Copy, Default)]
    struct Held {
        count: usize,
        /// The connection that is silent for longest, and how long.
        silent: Option<(Duration, usize)>,
    }
    let mut sources: HashMap<IpAddr, Held, foldhash::fast::RandomState> = HashMap::default();
    let mut all = 0;
    for (index, (source, silence)) in open {
        let held = sources.entry(source).or_default();
        held.count += 1;
        held.silent = held.silent.max(Some((silence, index)));
        all += 1;
    }
    let own = sources.get(&source).copied().unwrap_or_default();
    let within = |held: &Held| match held.silent {
        Some((silence, index)) if silence >= bounds.silence => Room::Of(index),
        _ => Room::None,
    };
    if own.count >= bounds.per_source {
        return within(&own);
    }
    if all < bounds.connections {
        return Room::Free;
    }
    let most = sources
        .values()
        .max_by_key(|held| (held.count, held.silent));
    let Some(most) = most else {
        return Room::None;
    };
    // A share of what others have too much of does not wait for their silence.
    match most.silent {
        Some((_, index)) if most.count > own.count + 1 => Room::Of(index),
        _ => within(most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        connections: 4,
        per_source: 3,
        silence: Duration::from_secs(1),
    };

    fn host(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    fn room(open: &[(u8, u64)], source: u8) -> Room {
        let open = open.iter();
        let open = open.map(|&(host_number, secs)| (host(host_number), Duration::from_secs(secs)));
        leaver(open.enumerate(), host(source), BOUNDS)
    }

    #[test]
    fn a_source_at_its_bound_loses_its_own_silent_connection() {
        assert_eq!(room(&[(1, 5), (1, 9)], 1), Room::Free);
        assert_eq!(room(&[(1, 5), (1, 9), (1, 0)], 1), Room::Of(1));
        assert_eq!(room(&[(1, 0), (1, 0), (1, 0)], 1), Room::None);
        assert_eq!(room(&[(1, 0), (1, 0), (1, 0)], 2), Room::Free);
    }

    #[test]
    fn a_full_listener_takes_from_the_source_that_has_most() {
        // Silent or not, three are more than a share; the oldest one goes.
        assert_eq!(room(&[(2, 90), (1, 0), (1, 2), (1, 0)], 3), Room::Of(2));
        assert_eq!(room(&[(2, 90), (1, 0), (1, 0), (1, 0)], 3), Room::Of(3));
        // Among equals only silence counts.
        assert_eq!(room(&[(1, 0), (2, 0), (3, 0), (4, 0)], 5), Room::None);
        assert_eq!(room(&[(1, 0), (2, 7), (3, 8), (4, 0)], 1), Room::Of(2));
        assert_eq!(room(&[(1, 0), (2, 0), (3, 0), (4, 0)], 1), Room::None);
    }
}
