//! Requests that wait for a thread, by who sent them.
//!
//! Hosts take turns, and on each host its ports do (a proxy has one for each of its processes). So
//! whoever sends more than is executed waits behind its own requests, and loses them when the
//! queue is full: of the sender that has most waiting, the newest goes.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

/// A bounded queue that is fair between its senders.
#[derive(Debug)]
pub(super) struct FairQueue<J> {
    hosts: HashMap<IpAddr, Host<J>>,
    /// Hosts with something waiting, in the order of their turns.
    turns: VecDeque<IpAddr>,
    waiting: usize,
    at_most: usize,
}

/// What waits of one host. It has something, or it is not there.
#[derive(Debug)]
struct Host<J> {
    /// Ports with something waiting, in the order of their turns.
    ports: VecDeque<(u16, VecDeque<J>)>,
    waiting: usize,
}

impl<J> FairQueue<J> {
    /// A queue for `at_most` jobs.
    pub(super) fn new(at_most: usize) -> Self {
        Self {
            hosts: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            at_most,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Adds a job. What finds no room is given back: this one, or another of a sender that has more
    /// waiting.
    pub(super) fn push(&mut self, from: SocketAddr, job: J) -> Option<(SocketAddr, J)> {
        let (address, port) = (from.ip().to_canonical(), from.port());
        let host = self.hosts.entry(address).or_insert_with(|| {
            self.turns.push_back(address);
            Host {
                ports: VecDeque::new(),
                waiting: 0,
            }
        });
        let known = host.ports.iter_mut().find(|(known, _)| *known == port);
        match known {
            Some((_, jobs)) => jobs.push_back(job),
            None => host.ports.push_back((port, VecDeque::from([job]))),
        }
        host.waiting += 1;
        self.waiting += 1;
        (self.waiting > self.at_most).then(|| self.shed()).flatten()
    }

    /// Takes the next job.
    pub(super) fn pop(&mut self) -> Option<J> {
        let address = self.turns.pop_front()?;
        let host = self.hosts.get_mut(&address)?;
        let (port, mut jobs) = host.ports.pop_front()?;
        let job = jobs.pop_front();
        if !jobs.is_empty() {
            host.ports.push_back((port, jobs));
        }
        host.waiting -= 1;
        self.waiting -= 1;
        if host.waiting == 0 {
            self.hosts.remove(&address);
        } else {
            self.turns.push_back(address);
        }
        job
    }

    /// Takes the newest job of the port that has most of the host that has most. There are more
    /// than one, else nothing had to go: neither host nor turn ends with it, but the port may.
    fn shed(&mut self) -> Option<(SocketAddr, J)> {
        let (&address, host) = self.hosts.iter_mut().max_by_key(|(_, host)| host.waiting)?;
        let lengths = host.ports.iter().map(|(_, jobs)| jobs.len()).enumerate();
        let (index, _) = lengths.max_by_key(|&(_, length)| length)?;
        let (port, jobs) = host.ports.get_mut(index)?;
        let from = SocketAddr::new(address, *port);
        let job = jobs.pop_back()?;
        if jobs.is_empty() {
            host.ports.remove(index);
        }
        host.waiting -= 1;
        self.waiting -= 1;
        if host.waiting == 0 {
            self.hosts.remove(&address);
            self.turns.retain(|known| *known != address);
        }
        Some((from, job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    #[test]
    fn hosts_take_turns_and_so_do_their_ports() {
        let mut queue = FairQueue::new(100);
        for (host, port, job) in [
            (1, 1, "a1"),
            (1, 1, "a2"),
            (1, 1, "a3"),
            (1, 2, "b1"),
            (2, 1, "c1"),
            (2, 1, "c2"),
        ] {
            assert_eq!(queue.push(from(host, port), job), None);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a1", "c1", "b1", "c2", "a2", "a3"]);
        assert!(queue.is_empty() && queue.hosts.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn who_has_most_waiting_loses_its_newest() {
        let mut queue = FairQueue::new(4);
        for job in 0..4 {
            assert_eq!(queue.push(from(1, 1), job), None);
        }
        assert_eq!(queue.push(from(1, 1), 4), Some((from(1, 1), 4)));
        assert_eq!(queue.push(from(2, 1), 5), Some((from(1, 1), 3)));
        assert_eq!(queue.push(from(2, 1), 6), Some((from(1, 1), 2)));
        // A port that loses its only one is gone.
        for host in 3..6 {
            assert!(queue.push(from(host, 1), 7).is_some());
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order.len(), 4);
        assert!(queue.hosts.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn mapped_addresses_are_the_host_that_they_name() {
        let mut queue = FairQueue::new(4);
        queue.push(from(1, 1), 1);
        queue.push("[::ffff:192.0.2.1]:1".parse().unwrap(), 2);
        assert_eq!(queue.hosts.len(), 1);
    }
}
