//! Shares the requests of a listener among its threads.
//!
//! One thread at a time attends the socket, so that a datagram wakes one thread and none for
//! nothing. It takes what is there, up to a batch, executes that, and attends again. It is helped
//! by others when its batches are full and there are cores for them. When it sticks in a request
//! (a list of all calls, the lock of a call, a duplicate that waits for its reply) the guard calls
//! another one, and if there is none left it looks at the socket itself: it answers pings, and puts
//! everything else off. A proxy that gets no reply to a ping moves all its calls away.
//!
//! A guard that waited on the socket would be woken for every request under load, which costs as
//! much as executing it; so it looks now and then, as long as there are requests at all.

use std::{
    net::SocketAddr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{STOP_CHECK, fair::FairQueue};
use crate::limits::QUEUED_REQUESTS;

/// Interval of the guard's checks while there are requests.
const LOOK: Duration = Duration::from_millis(1);

/// Looks without need after which the guard goes to sleep.
const PATIENCE: usize = 20;

/// Shared by the threads of one listener. `J` is a request to execute later.
#[derive(Debug)]
pub(super) struct Lanes<J> {
    /// Threads that may execute beside each other and gain by it.
    parallel: usize,
    /// Threads at the socket: waiting there, or about to.
    attending: AtomicUsize,
    /// Threads that are not asleep.
    active: AtomicUsize,
    /// Batches so far.
    batches: AtomicUsize,
    put_off: Mutex<FairQueue<J>>,
    /// Sleeping threads that are to come to the socket.
    called: Mutex<usize>,
    call: Condvar,
    /// The guard is looking.
    is_roused: AtomicBool,
    /// The guard executes deferred jobs, and cannot watch.
    is_guard_busy: AtomicBool,
    sleep: Mutex<()>,
    rouse: Condvar,
}

impl<J> Lanes<J> {
    /// Lanes for threads of which `parallel` can execute at once.
    pub(super) fn new(parallel: usize) -> Self {
        Self {
            parallel,
            attending: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            batches: AtomicUsize::new(0),
            put_off: Mutex::new(FairQueue::new(QUEUED_REQUESTS)),
            // The first thread attends uncalled.
            called: Mutex::new(1),
            call: Condvar::new(),
            is_roused: AtomicBool::new(false),
            is_guard_busy: AtomicBool::new(false),
            sleep: Mutex::default(),
            rouse: Condvar::new(),
        }
    }

    /// Sleeps until the thread is called to the socket, or for a while; `false`: it was not.
    pub(super) fn await_call(&self) -> bool {
        let called = lock(&self.called);
        let waited = self
            .call
            .wait_timeout_while(called, STOP_CHECK, |called| *called == 0);
        let (mut called, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_called = *called > 0;
        if is_called {
            *called -= 1;
            self.active.fetch_add(1, Ordering::SeqCst);
            self.attending.fetch_add(1, Ordering::SeqCst);
        }
        is_called
    }

    /// The thread has a batch and leaves the socket; `is_full`: there may be more.
    pub(super) fn leave(&self, is_full: bool) {
        self.attending.fetch_sub(1, Ordering::SeqCst);
        self.batches.fetch_add(1, Ordering::SeqCst);
        let gains = is_full && self.active.load(Ordering::SeqCst) < self.parallel;
        if gains || self.is_guard_busy.load(Ordering::SeqCst) {
            self.call_one();
        }
        if !self.is_roused.load(Ordering::SeqCst) {
            self.wake_guard();
        }
    }

    /// The thread is done with its batch: `true`: it attends the socket again; `false`: another
    /// one does, and it goes to sleep.
    pub(super) fn attend_again(&self) -> bool {
        let before = self.attending.fetch_add(1, Ordering::SeqCst);
        if before > 0 {
            self.attending.fetch_sub(1, Ordering::SeqCst);
            self.active.fetch_sub(1, Ordering::SeqCst);
        }
        before == 0
    }

    /// Whether something is put off.
    pub(super) fn has_put_off(&self) -> bool {
        !lock(&self.put_off).is_empty()
    }

    /// Takes a deferred job.
    pub(super) fn pop(&self) -> Option<J> {
        lock(&self.put_off).pop()
    }

    /// Puts something off. What finds no room is given back: this, or something of a sender that
    /// has more waiting. It is dropped, and its sender will send it again.
    pub(super) fn put_off(&self, from: SocketAddr, job: J) -> Option<(SocketAddr, J)> {
        lock(&self.put_off).push(from, job)
    }

    /// One turn of the guard thread: it sleeps until there are requests, then watches as long as
    /// there are. If no thread polls the socket, it wakes one of the `executing` threads, or polls
    /// itself (`look`). Deferred jobs run by `execute` when all other threads wait at the socket.
    /// Ends when `is_over` says so.
    pub(super) fn guard(
        &self,
        executing: usize,
        is_over: impl Fn() -> bool,
        mut look: impl FnMut(),
        mut execute: impl FnMut(J),
    ) {
        let sleep = lock(&self.sleep);
        let is_asleep = |(): &mut ()| !self.is_roused.load(Ordering::SeqCst);
        // Asked under the lock that who wakes it takes as well, so that it cannot miss that.
        drop(self.rouse.wait_timeout_while(sleep, STOP_CHECK, is_asleep));
        if !self.is_roused.load(Ordering::SeqCst) {
            return;
        }
        let mut idle = 0;
        let mut batches = self.batches.load(Ordering::SeqCst);
        while !is_over() && (idle < PATIENCE || !self.may_rest(batches)) {
            std::thread::park_timeout(LOOK);
            let now = self.batches.load(Ordering::SeqCst);
            let is_turning = now != batches;
            batches = now;
            if self.attending.load(Ordering::SeqCst) > 0 {
                idle = if is_turning { 0 } else { idle + 1 };
                self.execute_put_off(&mut execute);
                continue;
            }
            idle = 0;
            if is_turning {
                continue;
            }
            if self.active.load(Ordering::SeqCst) < executing {
                self.call_one();
            } else {
                look();
            }
        }
    }

    /// Executes deferred jobs as long as a thread polls the socket. The guard itself may block in
    /// one; a thread that leaves the socket meanwhile wakes another.
    fn execute_put_off(&self, execute: &mut impl FnMut(J)) {
        if !self.has_put_off() {
            return;
        }
        self.is_guard_busy.store(true, Ordering::SeqCst);
        // Whoever left before that did not see it.
        while self.attending.load(Ordering::SeqCst) > 0
            && let Some(job) = self.pop()
        {
            execute(job);
        }
        self.is_guard_busy.store(false, Ordering::SeqCst);
    }

    /// The guard has `seen` so many batches and wants to sleep; `false`: a thread has taken one
    /// since, which found the guard awake and did not wake it.
    fn may_rest(&self, seen: usize) -> bool {
        self.is_roused.store(false, Ordering::SeqCst);
        let may_rest = self.batches.load(Ordering::SeqCst) == seen;
        if !may_rest {
            self.is_roused.store(true, Ordering::SeqCst);
        }
        may_rest
    }

    #[cfg(test)]
    pub(super) fn batches(&self) -> usize {
        self.batches.load(Ordering::SeqCst)
    }

    fn call_one(&self) {
        let mut called = lock(&self.called);
        // Called twice, a thread would come for nothing.
        if *called == 0 {
            *called = 1;
            drop(called);
            self.call.notify_one();
        }
    }

    fn wake_guard(&self) {
        if !self.is_roused.swap(true, Ordering::SeqCst) {
            drop(lock(&self.sleep));
            self.rouse.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time at which a request of a batch is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before all others, and its reply leaves at once.
    First,
    /// In the order of arrival.
    InOrder,
    /// After the replies to all others have left: it may take long.
    Last,
}

/// Messages longer than this are offers and answers; they are not worth the search.
const SHORT: usize = 1024;

impl Turn {
    /// Chosen by the command of a message, found without decoding it. A wrong guess costs only
    /// time.
    pub(super) fn of(message: &[u8]) -> Self {
        match command(message) {
            Some(b"ping") => Self::First,
            Some(b"list" | b"statistics" | b"cli") => Self::Last,
            _ => Self::InOrder,
        }
    }
}

/// The value of the key `command` of a short message.
fn command(message: &[u8]) -> Option<&[u8]> {
    if message.len() > SHORT {
        return None;
    }
    let after = |word: &[u8]| {
        let at = memchr::memmem::find(message, word)?;
        message.get(at + word.len()..)
    };
    if let Some(value) = after(b"7:command") {
        let colon = value.iter().position(|&byte| byte == b':')?;
        let (length, text) = value.split_at_checked(colon)?;
        let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
        return text.get(1..)?.get(..length);
    }
    let value = after(b"\"command\"")?;
    let start = value.iter().position(|&byte| byte == b'"')? + 1;
    let text = value.get(start..)?;
    text.get(..text.iter().position(|&byte| byte == b'"')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 1))
    }

    #[test]
    fn one_thread_attends_and_others_come_when_they_are_called() {
        let lanes = Lanes::<()>::new(2);
        assert!(lanes.await_call(), "the first one comes by itself");
        lanes.leave(false);
        assert!(lanes.attend_again());
        assert!(!lanes.await_call(), "nobody calls a second one");
        // A full batch: another one is called, and one of the two stays.
        lanes.leave(true);
        assert!(lanes.await_call());
        assert!(!lanes.attend_again());
        lanes.leave(false);
        assert!(lanes.attend_again());
    }

    #[test]
    fn a_batch_that_is_taken_while_the_guard_goes_to_sleep_keeps_it_awake() {
        let lanes = Lanes::<()>::new(1);
        assert!(lanes.await_call());
        lanes.is_roused.store(true, Ordering::SeqCst);
        let seen = lanes.batches.load(Ordering::SeqCst);
        // The thread sees the guard awake, and so does not wake it.
        lanes.leave(false);
        assert!(!lanes.may_rest(seen));
        assert!(lanes.is_roused.load(Ordering::SeqCst));
        assert!(lanes.attend_again());
        assert!(lanes.may_rest(seen + 1));
        assert!(!lanes.is_roused.load(Ordering::SeqCst));
    }

    #[test]
    fn a_guard_that_is_woken_before_it_sleeps_does_not_sleep() {
        let lanes = Lanes::<()>::new(1);
        lanes.wake_guard();
        let asked = std::cell::Cell::new(0);
        let is_over = || {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        lanes.guard(1, is_over, || {}, |()| {});
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn while_the_guard_executes_another_thread_is_called() {
        let lanes = Lanes::new(1);
        assert!(lanes.await_call());
        assert!(lanes.put_off(peer(), ()).is_none());
        lanes.is_roused.store(true, Ordering::SeqCst);
        let mut executed = 0;
        let execute = |()| {
            executed += 1;
            // The one at the socket gets a request, and sticks in it for as long as this lasts.
            lanes.leave(false);
            assert!(lanes.await_call(), "nobody attends the socket");
        };
        lanes.guard(2, || false, || {}, execute);
        assert_eq!(executed, 1);
    }

    #[test]
    fn the_guard_ends_when_nobody_attends_any_more() {
        let lanes = Lanes::<()>::new(1);
        assert!(lanes.await_call());
        lanes.leave(false);
        let looks = std::cell::Cell::new(0);
        let look = || looks.set(looks.get() + 1);
        lanes.guard(1, || looks.get() == 3, look, |()| {});
        assert_eq!(looks.get(), 3);
    }

    #[test]
    fn the_guard_calls_another_thread_and_looks_itself_when_there_is_none() {
        let lanes = Lanes::new(1);
        assert!(lanes.await_call());
        lanes.leave(false);
        let looks = std::cell::Cell::new(0);
        let mut executed = Vec::new();
        std::thread::scope(|scope| {
            // The second one comes when the first one sticks, and sticks as well.
            scope.spawn(|| {
                while !lanes.await_call() {}
                lanes.leave(false);
            });
            lanes.guard(
                2,
                || false,
                || {
                    looks.set(looks.get() + 1);
                    assert!(lanes.put_off(peer(), looks.get()).is_none());
                    if looks.get() == 3 {
                        assert!(lanes.attend_again());
                    }
                },
                |job| executed.push(job),
            );
        });
        assert_eq!(
            (looks.get(), executed.as_slice()),
            (3, [1, 2, 3].as_slice())
        );
        assert!(!lanes.is_roused.load(Ordering::SeqCst));
    }

    #[test]
    fn what_is_put_off_is_bounded() {
        let lanes = Lanes::new(1);
        let queued = (0..QUEUED_REQUESTS + 5)
            .filter(|_| lanes.put_off(peer(), ()).is_none())
            .count();
        assert_eq!(queued, QUEUED_REQUESTS);
    }

    #[test]
    fn commands_are_found_in_both_encodings() {
        let turns = [
            (&b"1_2 d7:command4:pinge"[..], Turn::First),
            (b"c {\"command\": \"ping\"}", Turn::First),
            (b"1_2 d7:call-id1:x7:command5:offere", Turn::InOrder),
            (b"1_2 d7:command4:list5:limiti9ee", Turn::Last),
            (
                b"c {\"limit\": 3, \"command\" : \"statistics\"}",
                Turn::Last,
            ),
            (b"1_2 d7:command99:pinge", Turn::InOrder),
            (b"c {\"command\": \"ping", Turn::InOrder),
            (b"c d7:command", Turn::InOrder),
        ];
        for (message, turn) in turns {
            assert_eq!(Turn::of(message), turn, "{}", message.escape_ascii());
        }
    }
}
