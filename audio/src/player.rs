//! Plays encoded audio to one media: a packet at a time, at exact distances.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::chain::EncodedMedia;
use crate::packet::{Header, Out};

/// How often something is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeat {
    /// `repeat-times`: 0 counts as 1.
    pub times: u32,
    /// `repeat-duration`: rounds end with the one that reaches it. It counts only beside more than one
    /// time.
    pub duration: Option<Duration>,
}

impl Repeat {
    /// How many rounds of this length are played.
    pub fn rounds(self, length: Duration) -> u32 {
        let times = self.times.max(1);
        let within = self.duration.filter(|_| times > 1).map(|most| {
            let rounds = most.as_micros().div_ceil(length.as_micros().max(1));
            u32::try_from(rounds).unwrap_or(u32::MAX).max(1)
        });
        within.map_or(times, |within| within.min(times))
    }
}

/// What a player has of its own for all that it plays: one source, whose numbers go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerState {
    /// The source: a random number of the media.
    pub ssrc: u32,
    /// The sequence number of the next packet.
    pub sequence: u16,
    /// The timestamp that follows the last packet.
    pub timestamp: u32,
    /// Packets of the present playback that have been sent.
    pub sent: u64,
}

/// Plays to one media.
#[derive(Debug)]
pub struct Player {
    state: PlayerState,
    playing: Option<Playing>,
    /// When the last packet ended.
    ended: Option<Instant>,
}

#[derive(Debug)]
struct Playing {
    media: Arc<EncodedMedia>,
    begin: Instant,
    /// Packets in all rounds.
    total: u64,
}

/// Packets that one call makes at most: what was missed longer ago is made by the next.
const PER_POLL: u32 = 4;

impl Player {
    /// A player whose numbers begin where chance says.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            state: PlayerState {
                ssrc,
                sequence,
                timestamp,
                sent: 0,
            },
            playing: None,
            ended: None,
        }
    }

    /// Begins at once, in place of what is played.
    pub fn play(&mut self, now: Instant, media: Arc<EncodedMedia>, repeat: Repeat) {
        if let Some(ended) = self.ended {
            // The time without packets passes in the stream, too.
            let silent = now.saturating_duration_since(ended).as_micros();
            let ticks = silent * u128::from(media.format.clock) / 1_000_000;
            let [a, b, c, d, ..] = ticks.to_le_bytes();
            let ticks = u32::from_le_bytes([a, b, c, d]);
            self.state.timestamp = self.state.timestamp.wrapping_add(ticks);
        }
        self.state.sent = 0;
        let length = Duration::from_millis(media.duration_ms);
        let rounds = u64::from(repeat.rounds(length));
        self.playing = Some(Playing {
            total: rounds.saturating_mul(media.packets() as u64),
            begin: now,
            media,
        });
    }

    /// Ends what is played.
    pub fn stop(&mut self) {
        self.playing = None;
    }

    /// Whether something is played.
    pub fn is_playing(&self) -> bool {
        self.playing.is_some()
    }

    /// Samples of the file that have been played in the present or last playback, in its round.
    pub fn position(&self, media: &EncodedMedia) -> u64 {
        let packets = (media.packets() as u64).max(1);
        let sent = self.state.sent;
        let in_round = if sent > 0 && sent.is_multiple_of(packets) {
            packets
        } else {
            sent % packets
        };
        in_round * u64::from(media.source_samples)
    }

    /// When the next packet is due.
    pub fn next_at(&self) -> Option<Instant> {
        let playing = self.playing.as_ref()?;
        Some(playing.due(self.state.sent))
    }

    /// Appends the packets that are due: at most four.
    pub fn poll(&mut self, now: Instant, out: &mut Out) {
        for _ in 0..PER_POLL {
            let Some(playing) = &self.playing else {
                return;
            };
            if playing.due(self.state.sent) > now {
                return;
            }
            let media = &playing.media;
            let packet = self.state.sent % (media.packets() as u64).max(1);
            let payload = usize::try_from(packet)
                .ok()
                .and_then(|at| media.payload(at));
            let Some(payload) = payload else {
                self.playing = None;
                return;
            };
            let header = Header {
                payload_type: media.format.payload_type,
                sequence: self.state.sequence,
                timestamp: self.state.timestamp,
                ssrc: self.state.ssrc,
                marker: self.state.sent == 0,
            };
            out.push(header, payload);
            self.state.sequence = self.state.sequence.wrapping_add(1);
            self.state.timestamp = self.state.timestamp.wrapping_add(media.ticks);
            self.state.sent += 1;
            self.ended = Some(playing.due(self.state.sent));
            if self.state.sent >= playing.total {
                self.playing = None;
            }
        }
    }

    /// What outlives the process.
    pub fn save(&self) -> PlayerState {
        self.state
    }

    /// A player that goes on, with what it plays if it does: its next packet is due now.
    pub fn restore(
        state: PlayerState,
        playing: Option<(Arc<EncodedMedia>, Repeat)>,
        now: Instant,
    ) -> Self {
        let mut player = Self {
            state,
            playing: None,
            ended: None,
        };
        if let Some((media, repeat)) = playing {
            player.play(now, media, repeat);
            player.state.sent = state.sent;
            if let Some(playing) = &mut player.playing {
                let passed = playing
                    .due(state.sent)
                    .saturating_duration_since(playing.begin);
                playing.begin = now.checked_sub(passed).unwrap_or(now);
            }
        }
        player
    }
}

impl Playing {
    /// When a packet is due: counted from the begin, so that nothing drifts.
    fn due(&self, packet: u64) -> Instant {
        self.begin + Duration::from_millis(packet.saturating_mul(u64::from(self.media.ptime_ms)))
    }
}

#[cfg(test)]
#[path = "player_tests.rs"]
mod tests;
