//! Packets as the room sees them: what of the RTP header matters to audio, and the payload.

use std::ops::Range;

use crate::limits::MAX_OUT;

/// The fields of an RTP header (RFC 3550 §5.1) that a conversion reads or sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the format.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in the clock of the format.
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
    /// Marker bit.
    pub marker: bool,
}

/// The packets that one call made: at most 16. It is kept and used again, so that packets cost no
/// allocation.
#[derive(Debug)]
pub struct Out {
    packets: Vec<(Header, Range<usize>)>,
    bytes: Vec<u8>,
    /// Packets that found no place.
    refused: u32,
}

impl Default for Out {
    fn default() -> Self {
        Self {
            packets: Vec::with_capacity(MAX_OUT),
            bytes: Vec::with_capacity(MAX_OUT * 320),
            refused: 0,
        }
    }
}

impl Out {
    /// Forgets the packets, keeps the memory.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
        self.refused = 0;
    }

    /// Headers and payloads, in the order in which they are to be sent.
    pub fn packets(&self) -> impl Iterator<Item = (Header, &[u8])> {
        self.packets.iter().map(|(header, range)| {
            let payload = self.bytes.get(range.clone());
            (*header, payload.unwrap_or_default())
        })
    }

    /// How many packets there are.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Packets beyond the bound, since the last [`Self::clear`]. They are lost.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// Adds a packet with this payload.
    pub(crate) fn push(&mut self, header: Header, payload: &[u8]) {
        let write = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(payload);
            Ok::<_, std::convert::Infallible>(())
        };
        match self.try_push(header, write) {
            Ok(()) => {}
        }
    }

    /// Adds a packet whose payload `write` appends; if it fails, there is none.
    pub(crate) fn try_push<E>(
        &mut self,
        header: Header,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.packets.len() == MAX_OUT {
            self.refused += 1;
            return Ok(());
        }
        let begin = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(begin);
            return Err(error);
        }
        self.packets.push((header, begin..self.bytes.len()));
        Ok(())
    }
}
