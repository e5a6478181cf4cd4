//! The payload of telephone-event (RFC 4733 §2.3).

/// An event packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which event: 0 to 15 are digits.
    pub event: u8,
    /// The event is over.
    pub is_end: bool,
    /// Loudness in -dBm0, 0 to 63.
    pub volume: u8,
    /// How long it has lasted, in the clock of the format.
    pub duration: u16,
}

impl Event {
    /// Reads a payload; `None` if it is shorter than an event.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk()?;
        Some(Self {
            event,
            is_end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The payload.
    pub fn to_bytes(self) -> [u8; 4] {
        let end = if self.is_end { 0x80 } else { 0 };
        let [high, low] = self.duration.to_be_bytes();
        [self.event, end | self.volume.min(63), high, low]
    }

    /// The event in another clock; both in Hz. A duration that is too long stays at the longest.
    #[must_use]
    pub fn rescale(self, from: u32, to: u32) -> Self {
        let duration = u64::from(self.duration) * u64::from(to) / u64::from(from.max(1));
        Self {
            duration: u16::try_from(duration).unwrap_or(u16::MAX),
            ..self
        }
    }
}
