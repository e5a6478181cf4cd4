// What `flows.bpf.c` and user space share. src/flows/layout.rs repeats it.

#ifndef WINDLASS_FLOWS_H
#define WINDLASS_FLOWS_H

#include <linux/types.h>

// Set by user space and found by one that takes the maps over: another number is another layout.
#define FLOWS_LAYOUT 2u

// Synchronisation sources that a flow keeps figures of.
#define FLOW_SOURCES 4

// Addresses are IPv6, or IPv4 mapped into it; ports and addresses are in network byte order.

// Where a packet arrives.
struct flow_key {
	__u8 address[16];
	__u16 port;
	__u16 padding;
};

// Only `source` and `source_port` may send.
#define FLOW_SOURCE 1u
// Only `ssrc` may be sent.
#define FLOW_SSRC 2u
// The next hop is `ethernet` on `interface`; else the routes of the system are asked.
#define FLOW_ETHERNET 4u
// `tos` takes the place of the DSCP.
#define FLOW_DSCP 8u
// What leaves is IPv4.
#define FLOW_TO_V4 16u
// Packets with the marker are passed up.
#define FLOW_MARKER_UP 32u
// "Don't fragment" of IPv4: set, or cleared; without both as it came, and set for what was IPv6.
#define FLOW_DF 64u
#define FLOW_NO_DF 128u
// Packets come as SRTP, leave as SRTP: by the entry of `flow_crypt` that has the index of the figures. FLOW_SSRC as well.
#define FLOW_OPEN 256u
#define FLOW_SEAL 512u

// What happens to the packets of a flow. Never changes while a key leads to it.
struct flow_spec {
	struct flow_key key;
	// Index of its figures.
	__u32 stats;
	__u8 source[16];
	__u16 source_port;
	__u16 flags;
	__u32 ssrc;
	// Source and destination of what leaves.
	__u8 from[16];
	__u8 to[16];
	__u16 from_port;
	__u16 to_port;
	// 0: whichever the routes say.
	__u32 interface;
	// Destination and source.
	__u8 ethernet[12];
	// 0: no tag.
	__u16 vlan_in;
	__u16 vlan_out;
	__u8 tos;
	__u8 hop_limit;
	__u16 padding;
	// Of the timestamps, in Hz; 0: no jitter.
	__u32 clock_rate;
	// The sum of the 16-bit words of `from` and `to`, folded; as they are in memory.
	__u32 address_sum;
	// A bit per payload type: forwarded, and passed up although forwarded.
	__u64 forwarded[2];
	__u64 watched[2];
};

// Figures of one synchronisation source. Each word is valid by itself.
struct flow_source {
	// The SSRC, and SOURCE_TAKEN; 0: free.
	__u64 owner;
	__u64 packets;
	// Payload of UDP.
	__u64 bytes;
	// Packets that were not ahead of all before: late, or twice.
	__u64 late;
	// Extended highest sequence number (upper half) and that of the first packet, one cycle above zero; 0: none came.
	__u64 order;
	// ARRIVAL_KNOWN, jitter times 16 (RFC 3550 A.8), and in the lower half the transit time of the last packet.
	__u64 arrival;
	// Monotonic clock, ns.
	__u64 last;
	__u64 padding;
};

#define SOURCE_TAKEN (1ull << 32)
#define ARRIVAL_KNOWN (1ull << 63)

// Figures of one flow.
struct flow_stats {
	__u64 packets;
	// Payload of UDP.
	__u64 bytes;
	// Monotonic clock, ns.
	__u64 last;
	__u64 passed_up;
	// A bit per reason that occurred.
	__u64 reasons;
	__u64 padding[3];
	struct flow_source sources[FLOW_SOURCES];
};

// Why a packet of a flow was passed up.
enum flow_reason {
	REASON_LEASE,
	REASON_VLAN,
	REASON_SOURCE,
	REASON_STUN,
	REASON_DTLS,
	REASON_NOT_RTP,
	REASON_RTCP,
	REASON_MALFORMED,
	REASON_PAYLOAD_TYPE,
	REASON_WATCHED,
	REASON_MARKER,
	REASON_SSRC,
	REASON_SOURCES,
	REASON_SEQUENCE,
	REASON_ROUTE,
	REASON_NEIGHBOUR,
	REASON_MTU,
	REASON_CHECKSUM,
	REASON_ROOM,
	// Dropped: the system failed in the middle of a change.
	REASON_SPOILED,
	// SRTP that this program does not do, or longer than it takes.
	REASON_CRYPT,
	REASON_LONG,
	// The tag is another; the index was used already, or is too old to tell.
	REASON_TAG,
	REASON_REPLAYED,
	// Another CPU has the keys, or user space has taken them back.
	REASON_BUSY,
	REASONS,
};

// One direction of SRTP under AES_CM_128_HMAC_SHA1: of one synchronisation source.
struct srtp_half {
	// The highest index that was used, and a bit for each of the 64 up to it; bit 0 is its own.
	__u64 highest;
	__u64 window;
	// Round keys of AES, and the salt, as numbers.
	__u32 keys[44];
	__u32 salt[4];
	// SHA-1 behind the inner and the outer pad of HMAC.
	__u32 inner[5];
	__u32 outer[5];
	// Bytes of the tag.
	__u32 tag;
	__u32 padding;
};

// Keys and state of a flow.
struct flow_crypt {
	__u32 hold;
	__u32 padding[15];
	struct srtp_half open;
	struct srtp_half seal;
};

// Who may use the state.
#define HOLD_FREE 0u
#define HOLD_PROGRAM 1u
#define HOLD_USER 2u
// Looks at the state while another CPU has it: longer than a packet takes.
#define CRYPT_TRIES 256
// Bytes of a packet that is opened or sealed; room for its tag included.
#define MAX_SRTP 480
#define MAX_TAG 10

struct flow_control {
	__u32 layout;
	__u32 padding;
	// Flows are in force up to then: monotonic clock, ns.
	__u64 until;
	__u64 padding2[6];
	__u64 reasons[32];
};

_Static_assert(sizeof(struct flow_key) == 20, "layout");
_Static_assert(sizeof(struct flow_spec) == 152, "layout");
_Static_assert(sizeof(struct flow_source) == 64, "layout");
_Static_assert(sizeof(struct flow_stats) == 320, "layout");
_Static_assert(sizeof(struct flow_control) == 320, "layout");
_Static_assert(sizeof(struct srtp_half) == 256, "layout");
_Static_assert(sizeof(struct flow_crypt) == 576, "layout");
_Static_assert(REASONS <= 32, "layout");

#endif
