//! Messages that wait to be pulled. They are written when they are pulled, into the caller's buffer.

use std::net::SocketAddr;

use super::candidate::{Component, reflexive_priority};
use super::pair::Stage;
use super::{Agent, Generation, Previous, RemoteSide, Role, Side};
use crate::limits;
use crate::stun::{Class, Full, IntegrityKey, Tie, TransactionId, UnknownAttributes, Writer};

/// A datagram to be sent; its bytes are at the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The socket to send from.
    pub local: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
    /// Bytes.
    pub len: usize,
}

/// Which credentials a message is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Current,
    /// Those before the last restart.
    Previous,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Outgoing {
    /// A check of the pair, unless it has been answered meanwhile.
    Check { pair: u32 },
    Consent {
        age: Age,
        component: Component,
        transaction: TransactionId,
    },
    KeepAlive {
        local: SocketAddr,
        to: SocketAddr,
        transaction: TransactionId,
    },
    Reply {
        local: SocketAddr,
        to: SocketAddr,
        transaction: TransactionId,
        answer: Answer,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    RoleConflict,
    Success(Age),
    /// Nobody has shown to be the peer: the reply has no more bytes than the request had.
    Unauthenticated {
        code: u16,
        reason: &'static str,
        room: usize,
    },
    UnknownAttributes(Age, UnknownAttributes),
}

impl Agent {
    /// Queues a message. Beyond the bound it is lost, as it might be on the way.
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        if self.out.len() < limits::OUTGOING {
            self.out.push_back(outgoing);
        }
    }

    pub(super) fn write(&mut self, outgoing: Outgoing, buffer: &mut [u8]) -> Option<Transmit> {
        match outgoing {
            Outgoing::Check { pair } => self.write_check(pair, buffer),
            Outgoing::Consent {
                age,
                component,
                transaction,
            } => self.write_consent(age, component, transaction, buffer),
            Outgoing::KeepAlive {
                local,
                to,
                transaction,
            } => {
                let len = keep_alive(buffer, transaction).ok()?;
                Some(Transmit { local, to, len })
            }
            Outgoing::Reply {
                local,
                to,
                transaction,
                answer,
            } => {
                let len = self.write_reply(answer, to, transaction, buffer)?;
                Some(Transmit { local, to, len })
            }
        }
    }

    fn write_check(&mut self, id: u32, buffer: &mut [u8]) -> Option<Transmit> {
        let pair = self.current.pairs.iter().find(|pair| pair.id == id)?;
        let check = pair.check()?;
        let local = self.current.locals.get(usize::from(pair.local))?;
        let request = Request {
            software: &self.config.software,
            ours: &self.current.local,
            theirs: self.current.remote.as_ref()?,
            tie: self.tie(check.role),
            priority: reflexive_priority(local.priority),
            nominates: matches!(pair.stage, Stage::Nominating(_)),
            transaction: check.transaction,
        };
        let len = request.write(buffer).ok()?;
        self.counters.checks_out = self.counters.checks_out.wrapping_add(1);
        Some(Transmit {
            local: local.address,
            to: pair.remote,
            len,
        })
    }

    fn write_consent(
        &self,
        age: Age,
        component: Component,
        transaction: TransactionId,
        buffer: &mut [u8],
    ) -> Option<Transmit> {
        let (ours, theirs, used, role) = match age {
            Age::Current => {
                let Generation {
                    local,
                    remote,
                    used,
                    ..
                } = &self.current;
                (local, remote, used, self.role)
            }
            Age::Previous => {
                let Previous {
                    local,
                    remote,
                    used,
                    role,
                    ..
                } = self.previous.as_deref()?;
                (local, remote, used, *role)
            }
        };
        let used = used.get(component).as_ref()?;
        let known = self.current.locals.iter();
        let local = known.clone().find(|local| local.address == used.local);
        // A local address of before the restart has no priority any more; nobody learns from it.
        let priority = local.map_or(1, |local| local.priority);
        let request = Request {
            software: &self.config.software,
            ours,
            theirs: theirs.as_ref()?,
            tie: self.tie(role),
            priority: reflexive_priority(priority),
            nominates: false,
            transaction,
        };
        let len = request.write(buffer).ok()?;
        Some(Transmit {
            local: used.local,
            to: used.remote,
            len,
        })
    }

    fn write_reply(
        &self,
        answer: Answer,
        to: SocketAddr,
        transaction: TransactionId,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let software = &self.config.software;
        match answer {
            Answer::Success(age) => success(buffer, transaction, to, software, self.key(age)?),
            Answer::RoleConflict => {
                let key = self.key(Age::Current)?;
                error(buffer, transaction, ROLE_CONFLICT, &[], key)
            }
            Answer::UnknownAttributes(age, unknown) => {
                let types = unknown.as_slice();
                error(
                    buffer,
                    transaction,
                    UNKNOWN_ATTRIBUTE,
                    types,
                    self.key(age)?,
                )
            }
            Answer::Unauthenticated { code, reason, room } => {
                let room = buffer.get_mut(..room.min(limits::MESSAGE))?;
                return refuse(room, transaction, code, reason)
                    .or_else(|Full| refuse(room, transaction, code, ""))
                    .ok();
            }
        }
        .ok()
    }

    fn key(&self, age: Age) -> Option<&IntegrityKey> {
        match age {
            Age::Current => Some(&self.current.local.key),
            Age::Previous => self.previous.as_ref().map(|previous| &previous.local.key),
        }
    }

    fn tie(&self, role: Role) -> Tie {
        match role {
            Role::Controlled => Tie::Controlled(self.tie_breaker),
            Role::Controlling => Tie::Controlling(self.tie_breaker),
        }
    }
}

const ROLE_CONFLICT: (u16, &str) = (487, "Role conflict");
const UNKNOWN_ATTRIBUTE: (u16, &str) = (420, "Unknown attribute");

/// A Binding request (RFC 8445 §7.2.2).
struct Request<'a> {
    software: &'a str,
    ours: &'a Side,
    theirs: &'a RemoteSide,
    tie: Tie,
    priority: u32,
    nominates: bool,
    transaction: TransactionId,
}

impl Request<'_> {
    fn write(&self, buffer: &mut [u8]) -> Result<usize, Full> {
        let mut writer = Writer::new(buffer, Class::Request, self.transaction)?;
        let theirs = &self.theirs.side;
        writer.username(theirs.credentials.ufrag(), self.ours.credentials.ufrag())?;
        if !self.software.is_empty() {
            writer.software(self.software)?;
        }
        writer.tie(self.tie)?.priority(self.priority)?;
        if self.nominates {
            writer.use_candidate()?;
        }
        writer.integrity(&theirs.key)?.fingerprint()?;
        Ok(writer.finish())
    }
}

fn success(
    buffer: &mut [u8],
    transaction: TransactionId,
    mapped: SocketAddr,
    software: &str,
    key: &IntegrityKey,
) -> Result<usize, Full> {
    let mut writer = Writer::new(buffer, Class::Success, transaction)?;
    if !software.is_empty() {
        writer.software(software)?;
    }
    writer.mapped(mapped)?.integrity(key)?.fingerprint()?;
    Ok(writer.finish())
}

fn error(
    buffer: &mut [u8],
    transaction: TransactionId,
    (code, reason): (u16, &str),
    unknown: &[u16],
    key: &IntegrityKey,
) -> Result<usize, Full> {
    let mut writer = Writer::new(buffer, Class::Error, transaction)?;
    writer.error(code, reason)?;
    if !unknown.is_empty() {
        writer.unknown_attributes(unknown)?;
    }
    writer.integrity(key)?.fingerprint()?;
    Ok(writer.finish())
}

/// An error response to a stranger.
fn refuse(
    buffer: &mut [u8],
    transaction: TransactionId,
    code: u16,
    reason: &str,
) -> Result<usize, Full> {
    let mut writer = Writer::new(buffer, Class::Error, transaction)?;
    writer.error(code, reason)?.fingerprint()?;
    Ok(writer.finish())
}

/// A Binding indication (RFC 8445 §11).
fn keep_alive(buffer: &mut [u8], transaction: TransactionId) -> Result<usize, Full> {
    let mut writer = Writer::new(buffer, Class::Indication, transaction)?;
    writer.fingerprint()?;
    Ok(writer.finish())
}
