//! Packets of one source in their order (RFC 3550 §5.1).
//!
//! One missing packet holds the next one until another comes; two missing are given up at once.
//! There is no timer: a packet that is held waits for its successor.

use crate::limits::{MAX_PAYLOAD, SEQUENCE_RESET};
use crate::packet::Header;

/// Why a packet does not come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was there already, or came after its place had been given up.
    Late,
    /// It waits for the one before it.
    Held,
}

/// How a packet follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first of the source.
    First,
    /// As it should, after so many lost ones.
    Next {
        /// Packets missing in between.
        lost: u16,
    },
    /// The sender has begun anew with other numbers.
    Reset,
}

/// Puts packets into order. The copy of a held payload is in memory that is kept.
#[derive(Debug, Default)]
pub struct Reorder {
    /// The number that comes next.
    expected: Option<u16>,
    held: Option<Header>,
    payload: Vec<u8>,
}

impl Reorder {
    /// An order that goes on where another has been: `expected` comes next.
    pub fn resume(expected: Option<u16>) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// The sequence number that comes next.
    pub fn expected(&self) -> Option<u16> {
        self.expected
    }

    /// Takes in a packet and delivers those whose turn it is: none, it, or it and a held one.
    pub fn push(
        &mut self,
        header: Header,
        payload: &[u8],
        mut deliver: impl FnMut(Header, &[u8], Step),
    ) -> Result<(), Refused> {
        let Some(expected) = self.expected else {
            self.expected = Some(header.sequence.wrapping_add(1));
            deliver(header, payload, Step::First);
            return Ok(());
        };
        let ahead = header.sequence.wrapping_sub(expected).cast_signed();
        match ahead {
            0 => {
                self.expected = Some(expected.wrapping_add(1));
                deliver(header, payload, Step::Next { lost: 0 });
                self.release(0, &mut deliver);
                Ok(())
            }
            ..0 if ahead > -SEQUENCE_RESET => Err(Refused::Late),
            1 if self.held.is_some() => Err(Refused::Late),
            1 => {
                self.held = Some(header);
                self.payload.clear();
                let payload = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
                self.payload.extend_from_slice(payload);
                Err(Refused::Held)
            }
            2..SEQUENCE_RESET if self.held.is_some() => {
                self.release(1, &mut deliver);
                // Nothing is held any more, so this ends.
                self.push(header, payload, deliver)
            }
            2..SEQUENCE_RESET => {
                self.expected = Some(header.sequence.wrapping_add(1));
                let lost = ahead.cast_unsigned();
                deliver(header, payload, Step::Next { lost });
                Ok(())
            }
            _ => {
                self.release(1, &mut deliver);
                self.expected = Some(header.sequence.wrapping_add(1));
                deliver(header, payload, Step::Reset);
                Ok(())
            }
        }
    }

    /// Lets a held packet go; `lost` before it are given up.
    fn release(&mut self, lost: u16, deliver: &mut impl FnMut(Header, &[u8], Step)) {
        if let Some(held) = self.held.take() {
            self.expected = Some(held.sequence.wrapping_add(1));
            deliver(held, &self.payload, Step::Next { lost });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence: u16) -> Header {
        Header {
            payload_type: 8,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ssrc: 1,
            marker: false,
        }
    }

    /// What comes out for each number: `sequence/lost`, `!` for a reset.
    fn run(numbers: &[u16]) -> String {
        let mut reorder = Reorder::default();
        let mut told = String::new();
        for number in numbers {
            let deliver = |header: Header, _: &[u8], step| {
                told.push_str(&match step {
                    Step::First => format!("{} ", header.sequence),
                    Step::Next { lost } => format!("{}/{lost} ", header.sequence),
                    Step::Reset => format!("{}! ", header.sequence),
                });
            };
            let _ = reorder.push(header(*number), &[0], deliver);
            told.push_str("| ");
        }
        told
    }

    #[test]
    fn packets_in_order_pass() {
        assert_eq!(run(&[65534, 65535, 0]), "65534 | 65535/0 | 0/0 | ");
    }

    #[test]
    fn one_missing_holds_the_next_until_it_comes() {
        assert_eq!(run(&[1, 3, 2, 4]), "1 | | 2/0 3/0 | 4/0 | ");
    }

    #[test]
    fn one_missing_is_given_up_when_one_more_comes() {
        assert_eq!(run(&[1, 3, 4, 2]), "1 | | 3/1 4/0 | | ");
    }

    #[test]
    fn two_missing_are_given_up_at_once() {
        assert_eq!(run(&[1, 4, 3]), "1 | 4/2 | | ");
    }

    #[test]
    fn a_held_one_and_another_gap() {
        assert_eq!(
            run(&[1, 3, 5, 4]),
            "1 | 3/1 | 4/0 5/0 | ".replace("3/1 |", "| 3/1 |")
        );
    }

    #[test]
    fn repeated_ones_are_late() {
        assert_eq!(run(&[1, 2, 2, 1, 4, 4]), "1 | 2/0 | | | | | ");
    }

    #[test]
    fn a_jump_of_128_is_a_new_begin() {
        assert_eq!(run(&[1000, 1129, 1130]), "1000 | 1129! | 1130/0 | ");
        assert_eq!(run(&[1000, 1128]), "1000 | 1128/127 | ");
        assert_eq!(run(&[1000, 873]), "1000 | 873! | ");
        assert_eq!(run(&[1000, 874]), "1000 | | ");
    }

    #[test]
    fn a_jump_lets_the_held_one_go_first() {
        assert_eq!(run(&[10, 12, 500]), "10 | | 12/1 500! | ");
    }
}
