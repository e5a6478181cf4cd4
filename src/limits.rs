//! Every bound of the engine, with the reason for its number (law 4 of ARCHITECTURE.md). What an
//! operator may set is in the configuration; its default is here where it is a bound.

use std::time::Duration;

// Of a call.

/// Parties of one call: more than any fork rings, and a large conference. Who hears whom is looked
/// up by going through all of them.
pub const LEGS_PER_CALL: usize = 512;

/// Earlier tags of one party that are known: those of an answer per phone of a large hunt group.
pub const TAGS_PER_LEG: usize = 64;

/// Keys (branches, `label`s and the like) that one leg may be known by: a proxy gives one per request.
pub const LEG_KEYS: usize = 8;

/// m= lines that a call may have. Phones have two or three, conferences of browsers dozens.
pub const LINES_PER_CALL: usize = 256;

/// Directions of one call that are converted at a time, unless the configuration says otherwise.
/// Two parties have two per line; each costs some microseconds of CPU per packet.
pub const AUDIO_CHAINS_PER_CALL: u32 = 64;

/// Port sets that one media may keep. A party that names a new address in every re-offer gets new
/// ports each time; beyond this many the oldest set is given back.
pub const PORT_SETS_PER_MEDIA: usize = 8;

/// Sources that one media may hear: a large conference.
pub const SOURCES_PER_MEDIA: usize = 256;

/// ICE candidates of one party that are kept: checks grow with the square (spec: media-behaviour §5).
pub const ICE_CANDIDATES: usize = 100;

/// Pieces of SDP (trickle) that one call keeps for offers that have not come yet: a browser sends one
/// per candidate, and some 20 before its offer can have come.
pub const EARLY_FRAGMENTS: usize = 32;

/// The longest delay that a `delete` may ask for: a day. A larger one would keep the ports of an
/// ended call for as long as somebody likes.
pub const DELETE_DELAY: Duration = Duration::from_secs(86_400);

/// Keys of SRTP of one party that are remembered with what came and went under them: those of a few
/// forks and re-offers of all lines of a phone.
pub const PROTECTIONS_PER_LEG: usize = 32;

/// How long packets under the keys that a party had before are still taken after new ones are agreed
/// on. It learns of that with the answer, which takes a path of proxies and perhaps a retransmission
/// (RFC 3261 §17.1.1.1, T1 of 500 ms); its packets take the way back.
pub const LATE_KEYS: Duration = Duration::from_secs(2);

/// Digits of a code that starts or stops something: nobody types more, and a request must not make us
/// compare for long.
pub const CODE_DIGITS: usize = 32;

/// Frequencies of one tone: a chord of more is noise.
pub const TONE_FREQUENCIES: usize = 4;

/// Digits that may wait in one stream to be played: a telephone number and a card number in one
/// request; at a quarter of a second each they take 16 s.
pub const QUEUED_DIGITS: usize = 64;

// Of a flow.

/// Sources of one flow that have counters of their own; the packets of further ones count in the
/// flow's totals alone. A phone uses one, a transfer or a music-on-hold source two or three.
pub const SSRCS_PER_FLOW: usize = 4;

/// Sources whose runs the latch counts at a time. A further one replaces the one with the shortest
/// run, so a spray of sources does not push out a phone that goes on sending.
pub const LATCH_CANDIDATES: usize = 4;

/// Payload types of one flow whose sizes are followed: a phone sends one codec, events and comfort
/// noise, in a re-offer perhaps others.
pub const GUARDED_PAYLOAD_TYPES: usize = 8;

/// Things that one compound RTCP packet says that are looked at: a report may have 31 blocks.
pub const REPORT_ITEMS: usize = 32;

/// Sources of one call whose reports are followed: two parties, each with a few streams after
/// transfers.
pub const REPORTED_SOURCES: usize = 8;

/// Sender reports of one source that a receiver report may answer to: with one each 5 s, those of
/// the last 20 s.
pub const SENDER_REPORTS: usize = 4;

// Of a worker and its backend.

/// Bytes of the longest datagram that is relayed whole: more than an Ethernet frame carries, and
/// as much as a fragmented video packet may have.
pub const DATAGRAM_BYTES: usize = 9216;

/// Bytes of the longest datagram that is queued for sending: more than an Ethernet frame carries.
pub const QUEUED_DATAGRAM_BYTES: usize = 2000;

/// Bytes that the queue of ports that hear everybody may hold; the system counts some 800 for a
/// packet, and doubles the limit. A flood can fill it.
pub const LEARNING_QUEUE_BYTES: usize = 16 << 20;

/// The same of gated ports, which only settled parties can fill: more than a second of 1,000 calls,
/// so that a worker that was held up for a while loses nothing.
pub const GATED_QUEUE_BYTES: usize = 48 << 20;

/// Bytes that wait to be sent from one address: some 200 ms of 1,000 calls, the longest that a late
/// packet is of use.
pub const SEND_QUEUE_BYTES: usize = 16 << 20;

/// Raw sockets of one worker: one for each address and TOS in use. Calls may ask for any TOS.
pub const SENDERS_PER_WORKER: usize = 512;

/// Events of flows that wait for control: a second of 2,000 calls that settle both ways. Further ones
/// are counted and lost.
pub const FLOW_EVENTS: usize = 4096;

/// Streams that the kernel has room for, at some 650 bytes each: those of 65,000 calls. A host with
/// more ports has a worker for the rest.
pub const KERNEL_FLOWS: u32 = 1 << 17;

/// Ways out of this host that are kept in mind for a second, by their two addresses: those of all
/// parties of a large host. Others are looked up again.
pub const KNOWN_WAYS: usize = 65_536;

/// Ports whose last call left a source behind that is remembered: a minute of 130 ends of calls per
/// second, two ports each.
pub const LEFT_SOURCES: usize = 16_384;

// Of agents (ICE, DTLS).

/// Threads of agents: a handshake costs less than a millisecond, so four set up thousands of calls a
/// second, and leave the other cores to packets.
pub const AGENT_THREADS: usize = 4;

/// STUN and DTLS datagrams that wait for one thread of agents: a second of 2,000 calls that are being
/// set up.
pub const AGENT_DATAGRAMS: usize = 16_384;

/// Those of one agent among them: a handshake in small fragments beside the checks of a browser with
/// many addresses. A flood at one port has no more.
pub const AGENT_DATAGRAMS_EACH: usize = 64;

/// Places of all datagrams that those from sources which have not shown to be the party may take, and
/// of one agent's: whoever sends strange STUN and DTLS keeps nobody's checks and handshakes out.
pub const AGENT_DATAGRAMS_OF_STRANGERS: usize = AGENT_DATAGRAMS / 2;
/// See [`AGENT_DATAGRAMS_OF_STRANGERS`].
pub const AGENT_DATAGRAMS_OF_STRANGERS_EACH: usize = AGENT_DATAGRAMS_EACH / 2;

/// Datagrams that agents take at a time, before they look whether something is due.
pub const AGENT_BATCH: usize = 64;

/// Datagrams, or agents that are due, for which a thread of agents is not to be asked anything: a
/// command that changes a call waits as long, with all handshakes some 8 ms.
pub const AGENT_STEP: usize = 8;

/// Datagrams of agents that leave while a worker waits: some 100 us.
pub const AGENT_SENDS: usize = 32;

/// Shortest time between two things that the agent of a media tells its call: each is a plan for the
/// flows of the call. New keys do not wait.
pub const FOUND_INTERVAL: Duration = Duration::from_millis(50);

/// Time after which an agent says again what its call could not take in; twice as long each time, up
/// to 32 times.
pub const FOUND_AGAIN: Duration = Duration::from_millis(250);

/// Packets of media in sequence from another pair than that in use after which its agent is told: one
/// or two may just have been on their way when the party changed its mind.
pub const FOLLOW_RUN: u8 = 3;

/// Shortest time between two words of a flow to its agent that media comes from elsewhere.
pub const HEAR_INTERVAL: Duration = Duration::from_millis(500);

/// Sources of media to which our ClientHello goes beside the address in SDP, where that is behind NAT:
/// those that were heard last. One that does not answer gets one hello, and the repetitions of 30 s at
/// the most.
pub const HEARD_SOURCES: usize = 2;

/// Bytes of a STUN or DTLS datagram: peers keep to the path's MTU.
pub const AGENT_DATAGRAM_BYTES: usize = 2048;

/// DTLS handshakes under way at a time in one thread of agents: some 40 kB each. At 1,000 a second one
/// that takes a second of round trips finds room.
pub const HANDSHAKES: usize = 4096;

/// Those with one source (an IPv4 address, an IPv6 /64) among them: a large office behind one NAT
/// whose gateway comes up again.
pub const HANDSHAKES_PER_SOURCE: usize = 256;

// Of control.

/// Threads per ng UDP address: commands of different calls run beside each other, one on each core,
/// and a `ping` finds one thread free. More than these meet on the same locks.
pub const NG_THREADS: usize = 4;

/// Proxies with counters of their own; those beyond share the entry of the unspecified address.
/// A relay serves a handful; an open port must not let strangers grow the table.
pub const COUNTED_PROXIES: usize = 64;

/// Bytes of a line to the operator's listener: the longest command is a handful of words.
pub const CLI_LINE_BYTES: usize = 64 * 1024;

/// Connections to the operator's listener, a thread each; more are closed at once. Monitoring has one
/// or two.
pub const CLI_CONNECTIONS: usize = 32;

/// Calls of the demo's callee at a time: it is for a phone or two.
pub const DEMO_CALLS: usize = 64;

// Of what is told to others.

/// Bytes of log lines that may wait for whoever reads them: two seconds of 100 calls set up per second
/// at the level `debug`, or half a minute at `info`.
pub const LINE_QUEUE_BYTES: usize = 4 << 20;

/// Requests of one stranger that are logged without a pause: the calls of a busy hour of a small
/// office. Each writes up to 2 kB.
pub const STRANGER_LOG_BURST: u32 = 1000;

/// After these, one is logged in this time: 180 MB a day of one host.
pub const STRANGER_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Strangers with a budget of their own for the log; others share one.
pub const STRANGER_LOG_SOURCES: usize = 1024;

/// Characters of a line for a syslog that is not told another bound (spec: media-behaviour §20).
pub const SYSLOG_LINE_CHARS: usize = 500;

/// How long the end of the process waits for a reader of the log that stalls: shorter than any service
/// manager waits before it kills.
pub const LINES_FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Call-backs that may wait. With a SIP side that does not answer, each takes up to 15 s; beyond that
/// number it has been gone for so long that no call of it is alive.
pub const CALL_BACKS: usize = 1024;

/// Bytes of a call-id in the name of a recording. File names have 255 bytes at most; 36 are taken by
/// what stands around.
pub const RECORDING_NAME_BYTES: usize = 200;

/// Bytes of packets and SDP that may wait for the recording disk, of all calls together: three
/// seconds of 500 calls in G.711, both ways, with what the queue needs around a packet.
pub const RECORDER_QUEUE_BYTES: u32 = 64 << 20;

/// Bytes of one recording: half a day of a call in G.711, so that only what is no call ends there.
pub const RECORDING_BYTES: u64 = 1 << 30;

/// Bytes that recordings leave free on their disk, for everything else that lives there.
pub const RECORDING_FREE_BYTES: u64 = 256 << 20;

/// SSRCs of a bundled port that MID told the line of: what a conference of browsers sends at once
/// on one port. Each packet looks its source up in them.
pub const BUNDLE_SOURCES: usize = 64;

/// Calls of the relay in a row that media may pass. A call that comes back for a transfer, a recorder
/// or a conference passes two or three.
pub const HOPS: u32 = 8;

/// Offers of one call that may wait for answers, the oldest is forgotten: one per fork of a party
/// that talks to the first of them.
pub const PROPOSALS_PER_CALL: usize = LEGS_PER_CALL;

/// Sockets of a worker that are kept for datagrams longer than its batch carries; each is of one port.
/// A call with long datagrams takes two; those of more calls at a time are opened anew.
pub const LONG_DATAGRAM_SOCKETS: usize = 64;

/// Connections of one source to the operator's command line: half of all, so that one source alone
/// cannot lock the operator out.
pub const CLI_CONNECTIONS_PER_SOURCE: usize = CLI_CONNECTIONS / 2;

// Of a shadow (`windlass shadow`).

/// Calls that a shadow follows at a time: those of a large relay. Each is some 15 KB.
pub const SHADOW_CALLS: usize = 50_000;

/// Names of one call in a shadow: ports, keys and numbers of some dozens of SDPs.
pub const SHADOW_NAMES: usize = 256;

/// A call of which a shadow has heard nothing for so long is forgotten: its `delete` was lost.
pub const SHADOW_FORGETS: Duration = Duration::from_secs(86_400);

/// Kinds of difference that a shadow counts: the table is to be read by a person.
pub const SHADOW_KINDS: usize = 1000;

/// Examples of one kind of difference that a shadow writes, so that its log stays small.
pub const SHADOW_EXAMPLES: u32 = 20;

/// Clients over UDP that a shadow serves at a time; each takes a socket. A proxy has one for each of
/// its processes.
pub const SHADOW_CLIENTS: usize = 4096;

/// A client over UDP that is silent for so long gives its socket back.
pub const SHADOW_CLIENT_SILENCE: Duration = Duration::from_secs(300);

/// The largest datagram there is.
pub const SHADOW_DATAGRAM_BYTES: usize = 65_536;

/// Requests that a shadow remembers, for their replies and to know repetitions.
pub const SHADOW_PENDING: usize = 16_384;

/// A request without a reply for so long has none: proxies have given up by then.
pub const SHADOW_REPLY: Duration = Duration::from_secs(30);

/// Replies that wait to be compared; each is some kilobytes.
pub const SHADOW_QUEUE: usize = 512;

/// Bytes of one message on a connection that passes through a shadow: as many as a request may have.
pub const SHADOW_MESSAGE_BYTES: usize = 1 << 20;

/// Bytes of a request with its reply.
pub const SHADOW_NOTE_BYTES: usize = 2 * SHADOW_MESSAGE_BYTES + 4096;

/// Elements of a message that a shadow compares: replies to `query` have the most, and are not.
pub const SHADOW_ELEMENTS: usize = 4096;

// Of converted audio.

/// Packets that wait for one chain of a heavy codec while it is at work: 160 ms of audio at 20 ms. Who
/// is further behind does not catch up.
pub const CODEC_WAITING: usize = 8;

/// Chains that wait for a thread of codecs, per thread: at 500 µs a frame they take 64 ms, the longest
/// that a packet may be late without being of no use.
pub const CODEC_JOBS_PER_THREAD: usize = 128;

/// Threads of codecs that an operator may ask for: those of the largest hosts.
pub const CODEC_THREADS: usize = 256;

/// Sources of one sink whose converted packets are counted for reports; as many as a chain has state
/// for.
pub const CONVERTED_SOURCES: usize = 4;
