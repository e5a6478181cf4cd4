//! Bounds of the edge beside those of [`crate::Config`], each with its reason.

use std::time::Duration;

/// Callees whose tags a call remembers: forks of an INVITE. A phone rings on few places.
pub(crate) const CALLEE_TAGS: usize = 32;

/// Targets of a call that its record names: more are of no use to who reads it.
pub(crate) const RECORDED_ATTEMPTS: usize = 32;

/// Calls with one Call-ID and caller's tag. A registrar forks to all phones of a user, of which
/// `max_contacts_per_aor` admits 10 unless it is told otherwise.
pub(crate) const FORKS: usize = 64;

/// Bytes of a Call-ID that are repeated in the name of its media; the number behind them tells the
/// calls apart.
pub(crate) const MEDIA_ID_BYTES: usize = 128;

/// Bytes of a request over UDP from any address but the upstream. SIP over UDP is not meant to be
/// longer than a link carries (RFC 3261 §18.1.1); some browsers' SDP is.
pub(crate) const STRANGER_UDP_BYTES: usize = 16_384;

/// Bytes that a transaction takes in addition to its messages.
pub(crate) const TRANSACTION_BYTES: usize = 1024;

/// Answers of the relay that may wait for a shard. Each belongs to a task that waits with it, one for
/// a call at a time.
pub(crate) const QUEUED_ANSWERS: usize = 256;

/// Messages of a call whose SDP is known when they are repeated: those of an INVITE with its
/// provisional responses.
pub(crate) const REMEMBERED_SDP: usize = 8;

/// Pings without an answer after which a phone is gone (OpenSIPS `max_pings_lost`).
pub(crate) const LOST_PINGS: u8 = 3;

/// The highest CSeq of an INVITE that opens a call: the requests that follow it, and our BYE, have
/// numbers left below 2^31 (RFC 3261 §8.1.1.5).
pub(crate) const FIRST_CSEQ: u32 = (1 << 31) - (1 << 16);

/// Bytes of a refusal that is kept for the repeats of its INVITE. It repeats Via rows and Call-ID of
/// whoever asks, and no budget counts it: a longer one is made anew each time.
pub(crate) const KEPT_REFUSAL: usize = 2048;

/// Rows of credentials of a request that are looked at: one for each realm on its way.
pub(crate) const CREDENTIALS: usize = 8;

/// Bytes of a Contact URI that an alias stands for: with its token it still fits a header.
pub(crate) const ALIASED_URI_BYTES: usize = 512;

/// Contacts of one REGISTER. A phone has one, and names an old one when it moves.
pub(crate) const REGISTERED_CONTACTS: usize = 16;

/// How long a callee has to answer the CANCEL of a call that the edge ends before the caller is told
/// (spec §9).
pub(crate) const CANCEL_ANSWER: Duration = Duration::from_secs(2);

/// What a session may be over its Session-Expires (spec §9).
pub(crate) const SESSION_GRACE: Duration = Duration::from_secs(32);

/// Shortest and longest pause between two questions to the relay about the silence of a call: the
/// relay counts in seconds, and ten thousand calls ask it less than a thousand times a second.
pub(crate) const SILENCE_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];

/// Call-IDs that are tried for one of our own that belongs to a shard. Of 255 shards, one in a billion
/// searches fails.
pub(crate) const CALL_ID_TRIES: usize = 6000;

/// When a target that nothing is known of gets its first OPTIONS, at the latest: at once, and those of
/// a long list not all in one moment.
pub(crate) const FIRST_PROBE: Duration = Duration::from_secs(1);

/// Commands that may wait for a shard; who gives more waits.
pub(crate) const QUEUED_COMMANDS: usize = 16;

/// Addresses of one destination that are tried, one after the other. Each may cost a caller an
/// answer timeout.
pub(crate) const ADDRESSES: usize = 16;

/// Records kept of one DNS answer. A longer answer over UDP would not fit a datagram.
pub(crate) const DNS_RECORDS: usize = 32;

/// SRV hosts of one destination whose addresses are looked up: two queries each.
pub(crate) const SRV_HOSTS: usize = 8;

/// Answers that the DNS cache of a shard keeps: some hundred destinations with all their records.
pub(crate) const DNS_CACHE: usize = 4096;

/// DNS queries of a shard under way. Names that strangers write cannot fill sockets and tasks.
pub(crate) const DNS_QUERIES: usize = 256;

/// Requests of a shard that wait for names, each for two seconds at most.
pub(crate) const DNS_PARKED: usize = 2048;

/// Bytes of a domain name in text (RFC 1035 §2.3.4: 255 on the wire).
pub(crate) const DNS_NAME_BYTES: usize = 253;

/// Addresses known as those of targets: each configured one, and those that names had.
pub(crate) const KNOWN_TARGETS: usize = 16_384;

/// Targets of a pool: a choice looks at each of them.
pub(crate) const POOL_TARGETS: usize = 1024;

/// Resources of a target: each call that takes a slot holds a handle per resource.
pub(crate) const TARGET_RESOURCES: usize = 8;

/// Highest weight of a target, so that weights of a pool add up in 32 bits.
pub(crate) const TARGET_WEIGHT: u32 = 65_535;

/// Targets that one request may be sent to one after the other, redirections included. With the
/// default answer timeout the total time ends a call sooner.
pub(crate) const ATTEMPTS: usize = 32;

/// Redirections of one request that are followed (spec §14).
pub(crate) const REDIRECTS: usize = 5;

/// Changes of target states that wait to be read. Older ones leave; the states themselves stay.
pub(crate) const TARGET_EVENTS: usize = 1024;
/// Parts that the tables about sources are split into, each behind a lock of its own. A power of
/// two, and many times the shards of any machine: two shards seldom want the same.
pub(crate) const SOURCE_PARTS: usize = 64;

/// How long a ban that ended is remembered, so that the next one is longer (spec §12).
pub(crate) const BAN_MEMORY: Duration = Duration::from_secs(3600);

/// Doublings of an unverified ban: 60 s become more than the hour that is their end.
pub(crate) const BAN_DOUBLINGS: u32 = 16;

/// Patterns of one field of the fingerprints. Lists that go round have some dozens.
pub(crate) const PATTERNS: usize = 1024;

/// Bytes of the compiled patterns of one field.
pub(crate) const PATTERN_BYTES: usize = 4 << 20;

/// Bytes of a value that patterns are searched in. A User-Agent is shorter; what is not is cut.
pub(crate) const MATCHED_BYTES: usize = 512;

/// Bytes of a key of rates, limits and counted users. Longer ones are cut, and count together.
pub(crate) const KEY_BYTES: usize = 256;

/// Keys whose calls a second are counted. More than call within the seconds that a bucket needs.
pub(crate) const PACES: usize = 1 << 17;

/// Entries of each part that one sweep looks at: a bounded time under the lock.
pub(crate) const SWEPT_PER_PART: usize = 128;

/// Digits of a number that lists look at; E.164 has 15, with a prefix of the operator's own.
pub(crate) const NUMBER_DIGITS: usize = 40;

/// Rows of one list file.
pub(crate) const LIST_ROWS: usize = 2_000_000;

/// Faulty rows of a list file that are told one by one; the others are counted.
pub(crate) const TOLD_ROWS: usize = 100;

/// Lines of the security log per second, address and event (spec §16).
pub(crate) const LOG_LINES_PER_SECOND: u32 = 10;

/// Addresses and events whose lines are counted. An attack from more logs more lines.
pub(crate) const LOGGED_SOURCES: usize = 16_384;

/// Lines that may wait for the thread of a file: a second of a busy edge.
pub(crate) const QUEUED_LINES: usize = 16_384;

/// Bytes of lines kept while a disk is full: some ten thousand call records.
pub(crate) const SPOOL_BYTES: usize = 16 << 20;

/// Events that a slow subscriber may lag behind before it loses the oldest.
pub(crate) const QUEUED_EVENTS: usize = 4096;

/// Entries of the saved state of a screen: its tables are not larger.
pub(crate) const SAVED_LINES: usize = 4_000_000;

/// Bytes of the file of the saved state. Its longest line has some hundred.
pub(crate) const SAVED_BYTES: u64 = 1 << 30;

/// Pause between two writings of the saved state: what happened since is lost with a crash.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How long messages wait too long, or do not, before a shard refuses more, or less (spec §5).
pub(crate) const SHED_STEP: Duration = Duration::from_secs(1);

/// Seconds after which a client may ask again that was refused by a shard with too much to do.
pub(crate) const SHED_RETRY: std::ops::RangeInclusive<u32> = 5..=30;

/// Messages of strangers that wait for a busy shard; more are dropped. They are read within seconds.
pub(crate) const WAITING_STRANGERS: usize = 4096;

/// Secrets of tokens: the one in use, and the one before it (spec §6).
pub(crate) const TOKEN_KEYS: usize = 2;

/// Bytes of the way to a party in a Contact of ours: its URI, a few Route values and a Call-ID. Encoded,
/// it still fits a header, and a request with it a datagram.
pub(crate) const WAY_BYTES: usize = 1024;

/// Bytes of a Call-ID that another one stands for. Each box that hides makes it a third longer.
pub(crate) const HIDDEN_CALL_ID_BYTES: usize = 512;

/// Bytes of the URI of a callee and the way to it, of which a hidden call keeps one for each tag. What is
/// longer is reached as the call was.
pub(crate) const FORK_BYTES: usize = 4096;

/// Letters of the prefix of hidden Call-IDs.
pub(crate) const CALL_ID_PREFIX: usize = 16;

/// Patterns of headers that a zone or peer strips one way: each header of each message is held against
/// them.
pub(crate) const STRIP_GLOBS: usize = 64;

/// Pause after which the names of targets are looked up again, to know who speaks from their
/// addresses: the usual life of such records.
pub(crate) const LEARN_NAMES: Duration = Duration::from_secs(300);
/// Bytes of a token: what 128 random bits need in Base64 is more.
pub(crate) const TOKEN_BYTES: usize = 16;

/// Tokens and certificates of one file. Each comparison costs a request some nanoseconds.
pub(crate) const TOKENS: usize = 1024;

/// Bytes of the text that the parties of a call are told at its end.
pub(crate) const REASON_BYTES: usize = 128;

/// Entries that one answer of the admin interface lists; there is a cursor for more.
pub(crate) const LISTED: usize = 10_000;

/// The longest ban or drain that an operator asks for: a year.
pub(crate) const LONGEST_ORDER: Duration = Duration::from_secs(366 * 86_400);

/// Entries of a table that a shard looks at for an operator before it serves calls again: some ten
/// microseconds.
pub(crate) const LOOKED_AT: usize = 1024;

/// Connections to each admin listener. Tools and a monitor have a few.
pub(crate) const ADMIN_CONNECTIONS: usize = 64;

/// Bytes of the body of a request to the admin interface: a SIP message of a stream in JSON.
pub(crate) const ADMIN_BODY_BYTES: usize = 1 << 20;

/// Bytes of the head of a request to the admin interface.
pub(crate) const ADMIN_HEAD_BYTES: usize = 16 << 10;

/// The longest wait for a head, for a body, and for a peer that does not take an answer. Tests see
/// its end.
pub(crate) const ADMIN_PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

/// Readers of the event stream.
pub(crate) const EVENT_READERS: usize = 16;

/// Events on their way to one reader, beside those that it may lag behind.
pub(crate) const SENT_EVENTS: usize = 16;

/// The pause in which a reader of events hears nothing at all; so both sides know that the other
/// is there.
pub(crate) const EVENT_PAUSE: Duration = Duration::from_secs(15);

/// How long other relays are asked first after one was silent: it may be starting again.
pub(crate) const RELAY_DOWN: Duration = Duration::from_secs(30);

/// Relays that calls are spread over.
pub(crate) const RELAYS: usize = 64;
