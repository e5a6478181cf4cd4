//! Lines on their way to a place that may be out of order (spec §18, "Log or CDR disk full").

use std::collections::VecDeque;
use std::io;

use super::clock::Wall;

/// A place for lines.
pub(crate) trait Append {
    /// Appends a line whole, or not at all.
    fn append(&mut self, line: &[u8], at: Wall) -> io::Result<()>;

    /// Opens the place anew, after it was moved away.
    fn reopen(&mut self) -> io::Result<()>;
}

/// Lines wait in memory, in their order, while the place refuses them. The oldest are lost when
/// they become too many.
#[derive(Debug)]
pub(crate) struct Spool<A> {
    place: A,
    waiting: VecDeque<(Vec<u8>, Wall)>,
    bytes: usize,
    most_bytes: usize,
    lost: u64,
}

impl<A: Append> Spool<A> {
    pub(crate) fn new(place: A, most_bytes: usize) -> Self {
        Self {
            place,
            waiting: VecDeque::new(),
            bytes: 0,
            most_bytes,
            lost: 0,
        }
    }

    /// Appends a line behind those that wait.
    pub(crate) fn append(&mut self, line: Vec<u8>, at: Wall) {
        self.bytes += line.len();
        self.waiting.push_back((line, at));
        self.retry();
        while self.bytes > self.most_bytes {
            let Some((line, _)) = self.waiting.pop_front() else {
                break;
            };
            self.bytes -= line.len();
            self.lost += 1;
        }
    }

    /// Appends what waits, as far as the place takes it.
    pub(crate) fn retry(&mut self) {
        while let Some((line, at)) = self.waiting.front() {
            if self.place.append(line, *at).is_err() {
                return;
            }
            self.bytes -= line.len();
            self.waiting.pop_front();
        }
    }

    /// Opens the place anew; the old one stays if that fails.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.place.reopen()?;
        self.retry();
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn place(&self) -> &A {
        &self.place
    }

    /// Lines that wait: the place is out of order.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Lines that were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}
