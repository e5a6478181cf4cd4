//! Every bound of the crate, with the reason for its number.

use std::time::Duration;

/// Bytes of a segment of the journal. Large enough that a new one is needed once in some seconds
/// at 2,000 calls a second, small enough that to empty the oldest one is little work.
pub const SEGMENT_BYTES: usize = 16 << 20;

/// Bytes that records begin at multiples of: a cache line, so that two writers share none.
pub const UNIT_BYTES: usize = 64;

/// Places for records in a segment.
pub const SEGMENT_UNITS: u64 = (SEGMENT_BYTES / UNIT_BYTES) as u64;

/// Bytes of one record's body. A WebRTC call has 4 KB; calls of many legs write them one by one.
pub const BODY_BYTES: usize = 1 << 20;

/// Bytes of the reply that an ended call keeps for a repeated `delete`. A reply with statistics
/// of two parties has some 2 KB; beyond this a repeated request gets a short reply.
pub const REPLY_BYTES: usize = 4 << 10;

/// How long an ended call is kept for repeated requests, in milliseconds. Proxies repeat for some
/// seconds.
pub const ENDED_MS: u64 = 60_000;

/// Segments that are kept however little is alive, so that a quiet journal moves nothing.
pub const SEGMENTS_KEPT: usize = 4;

/// Free segments that keep their memory. The others give it back to the system.
pub const SPARE_SEGMENTS: usize = 2;

/// Records that one turn of the timer appends again to empty the oldest segment: some 0.2 ms.
pub const MOVED_A_TURN: usize = 200;

/// Records that an appender appends again for its own while the last segment is in use: enough to
/// empty the oldest one long before the last is full.
pub const MOVED_AN_APPEND: usize = 8;

/// Legs of a call that are written with the call itself. Calls of more legs (conferences) write
/// the changed ones alone, else a join would cost all of them.
pub const LEGS_WITHIN: usize = 8;

/// Legs of one call that its record can name.
pub const LEGS: usize = 4096;

/// Segments of a journal, at 16 MiB each: a terabyte, so that a mistyped size maps no more.
pub const SEGMENTS: usize = 65_535;

/// Containers within each other in a body. Ours have three; more is skipped over to this depth,
/// without a stack that a stranger chooses.
pub const CBOR_DEPTH: usize = 16;

/// Flows of the live area: as many as ports of sixteen addresses. 335 MB if all are asked for.
pub const FLOWS: usize = 1 << 20;

/// SSRCs of a flow whose numbers stand in the live area. A party sends one per media and a few more
/// (retransmissions, layers); the numbers of further ones are journaled.
pub const SOURCES: usize = 4;

/// SRTCP indexes that are skipped when they are taken from a copy. Reports come once in some
/// seconds, and feedback a few times a second: 2^10 are minutes.
pub const RTCP_SKIP: u32 = 1 << 10;

/// Sequence numbers that a stream of ours skips when they are taken from a copy: 10 s of 20 ms
/// packets. Receivers take a jump of less than 3,000 as loss (RFC 3550 A.1, MAX_DROPOUT).
pub const SEQUENCE_SKIP: u16 = 500;

/// Packets after which the numbers of a source are copied again. They are right while less than
/// 2^15 packets old (RFC 3711 §3.3.1), so three copies in a row may be lost.
pub const COPY_EVERY: u64 = 1 << 13;

/// Threads that can have a call in hand: workers, control and agents of a large machine.
pub const THREADS: usize = 128;

/// Crashes that are remembered.
pub const CRASHES: usize = 16;

/// Calls with strikes that are remembered: those of the crashes, some threads each.
pub const STRIKES: usize = 128;

/// Crashes with a call in hand after which it is put aside.
pub const STRIKES_OUT: usize = 2;

/// Crashes without a common call after which less of the program is started.
pub const CRASHES_OUT: usize = 3;

/// The time in which these are counted, in nanoseconds: a minute.
pub const CRASH_SPAN_NS: u64 = 60 * 1_000_000_000;

/// Bytes of a key file: less is no key of 256 bits.
pub const KEY_MIN: usize = 32;

/// Bytes of a key file at most; more is another file by mistake.
pub const KEY_MAX: usize = 4096;

/// Records that the disk takes at once; some megabytes.
pub const DISK_BATCH: usize = 4096;

/// Bytes of a file on disk after which a new one with what counts may take its place: a minute
/// and more at 2,000 calls a second.
pub const DISK_FILE_BYTES: u64 = 256 << 20;

/// How long an operation of the disk takes before it is said to hang. A busy disk syncs in
/// tenths of a second.
pub const DISK_HANGS: Duration = Duration::from_secs(3);

/// After a failure the disk is tried again after this time, and then after twice as long.
pub const DISK_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
pub const DISK_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The longest time that the wall clock is believed to have passed over a reboot.
pub const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The gap that calls outlive over a reboot of the machine.
pub const RESTORE_AFTER_BOOT: Duration = Duration::from_secs(3600);

/// How long the owner of a call is silent before a node with its address takes over: three signs
/// of life that did not come.
pub const OWNER_SILENT: Duration = Duration::from_secs(3);

/// Bytes of a frame of a hand-over.
pub const FRAME_BYTES: usize = 64 << 10;

/// Digests in a frame: 42 bytes each at most.
pub const DIGESTS_A_FRAME: usize = 1024;

/// Calls that a successor may name: more than ports allow.
pub const DIGESTS: usize = 1 << 20;

/// Descriptors that are taken over or held: queues, control sockets, eBPF maps and links, and with
/// `hold_ports` those of ports.
pub const DESCRIPTORS: usize = 4096;

/// Bytes that are handed over beside the journal: the cookie cache (64 MiB) and half-read requests.
pub const SAVED_BYTES: usize = 80 << 20;

/// Bytes of the name of a held descriptor: that of systemd (FDNAME, sd_notify(3)).
pub const NAME_BYTES: usize = 255;

/// Bytes of a notification.
pub const NOTIFICATION_BYTES: usize = 4096;

/// Starts in a row that end before the child is ready, after which its parent gives up: a file
/// that cannot be read does not get better by being read again.
pub const FAILED_STARTS: u32 = 10;
