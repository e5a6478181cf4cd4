//! The queue of gated ports: what settled calls say to each other, which is nearly everything.

use std::io;
use std::net::{Shutdown, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::share::Shares;
use crate::dataplane::sys::meminfo;
use crate::dataplane::sys::recv::RecvBatch;
use crate::flow::stats::{FlowStats, WorkerStats};

/// How long one receive call waits: a worker that is to stop is called out of it, and this is for
/// the case that the call does not reach it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The reading end, for a thread that waits for nothing else: one system call brings the next
/// datagrams, where epoll needs two.
#[derive(Debug)]
pub(in crate::dataplane) struct MediaQueue {
    socket: UdpSocket,
    appetite: Appetite,
    shares: Shares,
    stats: Arc<WorkerStats>,
}

impl MediaQueue {
    /// Reads from a socket, which turns blocking.
    pub(super) fn new(socket: &UdpSocket, stats: Arc<WorkerStats>) -> io::Result<Self> {
        let socket = socket.try_clone()?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            appetite: Appetite::default(),
            shares: Shares::default(),
            stats,
        })
    }

    /// Waits for datagrams. 0: none came in time. Once the queue is closed, it gets empty ones of
    /// nobody without waiting.
    pub(in crate::dataplane) fn receive(&mut self, batch: &mut RecvBatch) -> io::Result<usize> {
        let asked = self.appetite.ask(batch.capacity());
        let received = match batch.await_first(self.socket.as_fd(), asked) {
            Ok(received) => received,
            Err(error) if is_empty(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        self.appetite.learn(received);
        // A queue that is half full will be full, and then it is full for all.
        if received == batch.capacity() && meminfo::is_half_full(self.socket.as_fd()) {
            let dropped = self.shares.enforce(batch, received);
            FlowStats::add(&self.stats.overflowed, dropped as u64);
        }
        Ok(received)
    }

    /// What ends the waiting from another thread.
    pub(in crate::dataplane) fn closer(&self) -> io::Result<Closer> {
        self.socket.try_clone().map(Closer)
    }
}

fn is_empty(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::TimedOut
    )
}

/// Ends the waiting at a queue.
#[derive(Debug)]
pub(in crate::dataplane) struct Closer(UdpSocket);

impl Closer {
    /// From now on, nobody waits.
    pub(in crate::dataplane) fn close(&self) {
        // The system says that the socket is not connected, and ends the waiting all the same.
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Read);
    }
}

/// How many datagrams to ask for. Asking for more than are there costs a look at an empty queue,
/// which at low load is a tenth of a packet's cost; asking for one where many are costs a system
/// call for each.
#[derive(Debug, Default)]
struct Appetite {
    /// Turns for which a batch is asked for.
    hungry: u8,
    /// Turns until it is tried out whether more than one is there.
    until_trial: u8,
}

/// Turns with one datagram after which only one is asked for.
const HUNGRY_TURNS: u8 = 8;

/// One turn of this many asks for a batch, to see.
const TRIAL: u8 = 8;

impl Appetite {
    fn ask(&mut self, capacity: usize) -> usize {
        if self.hungry > 0 {
            return capacity;
        }
        if self.until_trial == 0 {
            self.until_trial = TRIAL;
            return capacity;
        }
        self.until_trial -= 1;
        1
    }

    fn learn(&mut self, received: usize) {
        self.hungry = match received {
            0 | 1 => self.hungry.saturating_sub(1),
            _ => HUNGRY_TURNS,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_asked_for_where_several_come() {
        let mut appetite = Appetite::default();
        let mut turn = |received: usize| {
            let asked = appetite.ask(64);
            appetite.learn(received.min(asked));
            asked
        };
        let asked: Vec<usize> = (0..18).map(|_| turn(1)).collect();
        assert_eq!(asked.iter().filter(|&&asked| asked == 64).count(), 2);
        // A crowd is noticed by the next trial, and asked for from then on.
        let crowded: Vec<usize> = (0..20).map(|_| turn(5)).collect();
        let noticed = crowded.iter().position(|&asked| asked == 64).unwrap();
        assert!(noticed <= usize::from(TRIAL));
        assert!(crowded[noticed..].iter().all(|&asked| asked == 64));
        let ebbing: Vec<usize> = (0..usize::from(HUNGRY_TURNS) + 1)
            .map(|_| turn(1))
            .collect();
        assert_eq!(ebbing.last(), Some(&1));
    }

    #[test]
    fn who_waits_is_called_out() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut queue = MediaQueue::new(&socket, Arc::default()).unwrap();
        let closer = queue.closer().unwrap();
        let mut batch = RecvBatch::new(4, 64);
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        far.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(queue.receive(&mut batch).unwrap(), 1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.receive(&mut batch).unwrap());
            closer.close();
            waiting.join().unwrap();
        });
        // What it is told is nobody's datagram.
        assert_eq!(batch.aside(0).local, None);
    }
}
