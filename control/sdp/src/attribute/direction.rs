//! Direction of a media (RFC 8866 §6.7).

/// Direction of a media, seen from the author of the description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both sides send; the default without an attribute.
    #[default]
    SendRecv,
    /// Only the author sends.
    SendOnly,
    /// Only the other side sends.
    RecvOnly,
    /// Neither side sends.
    Inactive,
}

impl Direction {
    /// The direction of a party that sends and receives as the flags say.
    pub fn from_flags(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the author sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the author receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The attribute that says so.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"sendrecv" => Self::SendRecv,
            b"sendonly" => Self::SendOnly,
            b"recvonly" => Self::RecvOnly,
            b"inactive" => Self::Inactive,
            _ => return None,
        })
    }

    /// The stronger of two attributes of one section: `recvonly` beats `sendonly` beats `inactive`
    /// beats `sendrecv`, in any order.
    pub(crate) fn stronger(self, other: Self) -> Self {
        let rank = |direction| match direction {
            Self::RecvOnly => 3,
            Self::SendOnly => 2,
            Self::Inactive => 1,
            Self::SendRecv => 0,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
