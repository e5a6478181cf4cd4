//! Unsolicited messages: the engine sends them to every TCP client (DTMF events).
//!
//! The sender must not wait for a client. Each connection has a bounded queue and an event
//! descriptor that wakes its thread, which alone writes to the socket. So a message never lands
//! inside a reply.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::{limits::QUEUED_BROADCASTS, value::Dict};

/// Writes messages to every client connected to one TCP listener. Cheap to clone. After the
/// listener has ended it reaches no client.
#[derive(Clone, Debug, Default)]
pub struct Broadcaster {
    hub: Arc<Hub>,
}

#[derive(Debug, Default)]
struct Hub {
    outlets: Mutex<Vec<Arc<Outlet>>>,
    dropped: AtomicU64,
}

impl Broadcaster {
    /// Queues `dict` for every connected client, after a random cookie of 16 hex digits. Never
    /// waits: a client whose queue is full misses it, see [`Self::dropped`].
    pub fn send(&self, dict: &Dict) {
        let outlets = lock(&self.hub.outlets);
        if outlets.is_empty() {
            return;
        }
        let Some(message) = framed(dict) else {
            self.count_dropped(outlets.len());
            return;
        };
        let missed = outlets
            .iter()
            .filter(|outlet| !outlet.push(&message))
            .count();
        self.count_dropped(missed);
    }

    /// Messages that clients missed since the start, one for each client and message.
    pub fn dropped(&self) -> u64 {
        self.hub.dropped.load(Ordering::Relaxed)
    }

    /// Messages from now on, for one connection.
    ///
    /// # Errors
    /// Without a free descriptor.
    pub(super) fn subscribe(&self) -> io::Result<Subscription> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let outlet = Arc::new(Outlet {
            queue: Mutex::default(),
            wake: EventFd::from_value_and_flags(0, flags)?,
        });
        lock(&self.hub.outlets).push(Arc::clone(&outlet));
        Ok(Subscription {
            hub: Arc::clone(&self.hub),
            outlet,
        })
    }

    fn count_dropped(&self, messages: usize) {
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        self.hub.dropped.fetch_add(messages, Ordering::Relaxed);
    }
}

/// `COOKIE SP BENCODE`; `None` without random numbers.
fn framed(dict: &Dict) -> Option<Arc<[u8]>> {
    let mut cookie = String::with_capacity(17);
    let random = getrandom::u64().ok()?;
    write!(cookie, "{random:016x} ").ok()?;
    let mut out = cookie.into_bytes();
    dict.write_bencode(&mut out);
    Some(out.into())
}

/// The connection's end of its queue. Nothing is queued after it was dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    hub: Arc<Hub>,
    outlet: Arc<Outlet>,
}

impl Subscription {
    /// Readable while messages wait.
    pub(super) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.outlet.wake.as_fd()
    }

    /// The messages that wait, oldest first.
    pub(super) fn take(&self) -> VecDeque<Arc<[u8]>> {
        // Cleared first: a message queued in between wakes once too often, not never.
        let _ = self.outlet.wake.read();
        std::mem::take(&mut *lock(&self.outlet.queue))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.hub.outlets).retain(|outlet| !Arc::ptr_eq(outlet, &self.outlet));
    }
}

#[derive(Debug)]
struct Outlet {
    queue: Mutex<VecDeque<Arc<[u8]>>>,
    wake: EventFd,
}

impl Outlet {
    fn push(&self, message: &Arc<[u8]>) -> bool {
        let mut queue = lock(&self.queue);
        if queue.len() >= QUEUED_BROADCASTS {
            return false;
        }
        queue.push_back(Arc::clone(message));
        drop(queue);
        // Fails only when the counter is full, which wakes as well.
        let _ = self.wake.write(1);
        true
    }
}

/// The guarded data is consistent between any two statements, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts() {
        let broadcaster = Broadcaster::default();
        let dict = Dict::new().with("notify", "onDTMF");
        broadcaster.send(&dict);
        assert_eq!(broadcaster.dropped(), 0, "nobody to miss it");
        let (slow, quick) = (
            broadcaster.subscribe().unwrap(),
            broadcaster.subscribe().unwrap(),
        );
        for _ in 0..QUEUED_BROADCASTS + 3 {
            broadcaster.send(&dict);
            assert_eq!(quick.take().len(), 1);
        }
        assert_eq!(broadcaster.dropped(), 3);
        assert_eq!(slow.take().len(), QUEUED_BROADCASTS);
        drop(slow);
        assert_eq!(lock(&broadcaster.hub.outlets).len(), 1);
    }

    #[test]
    fn the_cookie_is_sixteen_hex_digits() {
        let message = framed(&Dict::new().with("a", 1)).unwrap();
        let (cookie, dict) = crate::serve::split_cookie(&message).unwrap();
        assert!(cookie.len() == 16 && cookie.iter().all(u8::is_ascii_hexdigit));
        assert_eq!(dict, b"d1:ai1ee");
    }
}
