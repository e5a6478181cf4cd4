//! Bounds of the edge beside those of [`crate::Config`], each with its reason.

/// Callees whose tags a call remembers: forks of an INVITE. A phone rings on few places.
pub(crate) const CALLEE_TAGS: usize = 32;

/// Bytes of a Call-ID that are repeated in the name of its media; the number behind them tells the
/// calls apart.
pub(crate) const MEDIA_ID_BYTES: usize = 128;

/// Bytes of a request over UDP from any address but the upstream. SIP over UDP is not meant to be
/// longer than a link carries (RFC 3261 §18.1.1); some browsers' SDP is.
pub(crate) const STRANGER_UDP_BYTES: usize = 16_384;

/// Bytes that a transaction takes in addition to its messages.
pub(crate) const TRANSACTION_BYTES: usize = 1024;

/// Batches of datagrams that may wait for a shard: a burst of some thousand messages.
pub(crate) const QUEUED_BATCHES: usize = 256;

/// Answers of the relay that may wait for a shard. Each belongs to a task that waits with it, one for
/// a call at a time.
pub(crate) const QUEUED_ANSWERS: usize = 256;

/// Messages of a call whose SDP is known when they are repeated: those of an INVITE with its
/// provisional responses.
pub(crate) const REMEMBERED_SDP: usize = 8;

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
