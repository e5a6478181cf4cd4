// Kernel flows: settled RTP goes from one party to the other without a socket (spec: dataplane §8).
//
// `flows_tc` runs at the ingress of an interface (tcx, clsact), `flows_xdp` before it in the driver, `flows_generic`
// between them. All do the same: headers -> flow by destination -> expected source -> RTP that the flow forwards -> next hop -> figures,
// rewrite, redirect. Any "no" passes the packet up, as if the program were not there; nothing is changed before the
// last of them.
//
// `flows_srtp` is `flows_tc` for hosts where some flows come or leave as SRTP (srtp.h).
//
// Built by kernel-assist/bpf/build. Read flows.h first.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flows.h"

#define AF_INET 2
#define AF_INET6 10

#define ETHERNET_BYTES 14
#define VLAN_BYTES 4
#define VLAN_ID 0x0fff
#define V4_BYTES 20
#define V6_BYTES 40
#define UDP_BYTES 8
#define RTP_BYTES 12

#define DF 0x4000
#define FRAGMENT 0x3fff

// A jump of the sequence number beyond this is a restart of the source (RFC 3550 A.1, MAX_DROPOUT).
#define MAX_DROPOUT 3000
// A change of the timestamp's base is no jitter.
#define MAX_TRANSIT (1u << 20)
// Other CPUs that may be busy with the same stream at the same moment.
#define TRIES 8

#define MAX_OFFSET 0x7fff
// Of the payload of UDP.
#define MAX_PAYLOAD_OFFSET 0xff

// How far the whole sum of a datagram can be taken: what Ethernet carries. More costs the verifier time at every start.
#define SUM_CHUNK 64
#define MAX_SUM_CHUNKS 24

// Sizes are set before they are loaded.

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow_key);
	__type(value, __u32);
} flow_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_spec);
} flow_specs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_stats);
} flow_figures SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_control);
} flow_state SEC(".maps");

struct v4_header {
	__u8 version_length;
	__u8 tos;
	__u16 length;
	__u16 id;
	__u16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__u32 source;
	__u32 destination;
};

struct v6_header {
	__u32 version_class_label;
	__u16 length;
	__u8 next;
	__u8 hop_limit;
	__u32 source[4];
	__u32 destination[4];
};

struct udp_header {
	__u16 source;
	__u16 destination;
	__u16 length;
	__u16 check;
};

struct rtp_header {
	__u8 flags;
	__u8 marker_type;
	__u16 sequence;
	__u32 timestamp;
	__u32 ssrc;
};

// What the headers of a packet say.
struct packet {
	__u32 source[4];
	struct flow_key key;
	__u16 source_port;
	// Of UDP, and its sum; the latter as in the packet.
	__u16 datagram;
	__u16 check;
	// Position of the headers behind Ethernet, and of UDP.
	__u16 l3;
	__u16 l4;
	// Identification of VLAN; 0: none.
	__u16 vlan;
	__u16 id;
	__u8 is_v4;
	__u8 has_df;
	__u8 tos;
	// First byte of the payload; the rest is 0 if that is too short.
	__u8 flags;
	__u8 marker_type;
	__u16 sequence;
	__u32 timestamp;
	__u32 ssrc;
};

// What is to be done with it.
struct way {
	struct flow_spec *spec;
	struct flow_stats *stats;
	__u64 now;
	__u32 interface;
	// Of the new headers behind Ethernet.
	__u16 length;
	__u8 has_ethernet;
	__u8 ethernet[12];
};

// Keeps the compiler from computing with the end of the packet, which the verifier refuses.
#define KEEP(end) asm volatile("" : "+r"(end))

static __always_inline __u32 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline void map_v4(__u32 to[4], __u32 address)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = address;
}

static __always_inline int is_same(const __u32 a[4], const __u8 b[16])
{
	const __u32 *other = (const __u32 *)b;
	return a[0] == other[0] && a[1] == other[1] && a[2] == other[2] && a[3] == other[3];
}

#include "srtp.h"

// Reads the headers; `bytes` is the length of the whole packet. False: no flow can be meant.
static __always_inline int read_headers(void *data, void *end, __u32 bytes, struct packet *packet)
{
	__u32 *destination = (__u32 *)packet->key.address;
	__u8 *ethernet = data;
	if (data + ETHERNET_BYTES > end)
		return 0;
	__u16 type = *(__u16 *)(ethernet + 12);
	void *l3 = data + ETHERNET_BYTES;
	packet->vlan = 0;
	packet->l3 = ETHERNET_BYTES;
	if (type == bpf_htons(ETH_P_8021Q)) {
		if (l3 + VLAN_BYTES > end)
			return 0;
		packet->vlan = bpf_ntohs(*(__u16 *)l3) & VLAN_ID;
		type = *(__u16 *)(l3 + 2);
		l3 += VLAN_BYTES;
		packet->l3 += VLAN_BYTES;
	}
	struct udp_header *udp;
	__u32 length;
	if (type == bpf_htons(ETH_P_IP)) {
		struct v4_header *ip = l3;
		if ((void *)(ip + 1) > end || ip->version_length != 0x45 || ip->protocol != IPPROTO_UDP)
			return 0;
		if (ip->fragment & bpf_htons(FRAGMENT))
			return 0;
		const __u32 *words = l3;
		__u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
		if (fold(sum) != 0xffff)
			return 0;
		length = bpf_ntohs(ip->length);
		if (packet->l3 + length > bytes)
			return 0;
		length -= V4_BYTES;
		packet->is_v4 = 1;
		packet->has_df = !!(ip->fragment & bpf_htons(DF));
		packet->id = ip->id;
		packet->tos = ip->tos;
		map_v4(packet->source, ip->source);
		map_v4(destination, ip->destination);
		packet->l4 = packet->l3 + V4_BYTES;
		udp = (void *)(ip + 1);
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		struct v6_header *ip = l3;
		if ((void *)(ip + 1) > end || ip->next != IPPROTO_UDP)
			return 0;
		__u32 first = bpf_ntohl(ip->version_class_label);
		if (first >> 28 != 6)
			return 0;
		length = bpf_ntohs(ip->length);
		if (packet->l3 + V6_BYTES + length > bytes)
			return 0;
		packet->is_v4 = 0;
		packet->has_df = 1;
		packet->id = 0;
		packet->tos = first >> 20;
#pragma unroll
		for (int i = 0; i < 4; i++) {
			packet->source[i] = ip->source[i];
			destination[i] = ip->destination[i];
		}
		packet->l4 = packet->l3 + V6_BYTES;
		udp = (void *)(ip + 1);
	} else {
		return 0;
	}
	if ((void *)(udp + 1) > end)
		return 0;
	packet->datagram = bpf_ntohs(udp->length);
	// A datagram of a jumbogram has 0 here (RFC 2675).
	if (packet->datagram != length || length <= UDP_BYTES)
		return 0;
	packet->check = udp->check;
	packet->source_port = udp->source;
	packet->key.port = udp->destination;
	packet->key.padding = 0;
	__u8 *payload = (void *)(udp + 1);
	if ((void *)(payload + 1) > end)
		return 0;
	packet->flags = *payload;
	packet->marker_type = 0;
	packet->sequence = 0;
	packet->timestamp = 0;
	packet->ssrc = 0;
	struct rtp_header *rtp = (void *)payload;
	if (length >= UDP_BYTES + RTP_BYTES && (void *)(rtp + 1) <= end) {
		packet->marker_type = rtp->marker_type;
		packet->sequence = bpf_ntohs(rtp->sequence);
		packet->timestamp = bpf_ntohl(rtp->timestamp);
		packet->ssrc = bpf_ntohl(rtp->ssrc);
	}
	return 1;
}

// Reads bytes of the packet, wherever they are.
static __always_inline int read_at(void *context, int is_xdp, __u32 offset, void *to, const __u32 bytes)
{
	if (!is_xdp)
		return bpf_skb_load_bytes(context, offset, to, bytes);
	struct xdp_md *xdp = context;
	void *data = (void *)(long)xdp->data;
	void *end = (void *)(long)xdp->data_end;
	// The verifier wants a bound; no packet in one piece is that long.
	void *from = data + (offset & MAX_OFFSET);
	if (offset > MAX_OFFSET || from + bytes > end)
		return -1;
	__builtin_memcpy(to, from, bytes);
	return 0;
}

// Whether CSRC list, extension and padding fit (RFC 3550 5.1); padding of SRTP is yet to be seen.
static __always_inline int is_rtp(void *context, int is_xdp, const struct packet *packet, int is_sealed)
{
	__u32 payload = packet->datagram - UDP_BYTES;
	__u32 start = packet->l4 + UDP_BYTES;
	__u32 header = RTP_BYTES + 4 * (packet->flags & 0x0f);
	if (packet->flags & 0x10) {
		__u8 extension[4];
		if (header + 4 > payload || read_at(context, is_xdp, start + header, extension, 4))
			return 0;
		header += 4 + 4 * ((__u32)extension[2] << 8 | extension[3]);
	}
	if (header > payload)
		return 0;
	if (packet->flags & 0x20 && !is_sealed) {
		__u8 padding;
		if (read_at(context, is_xdp, start + payload - 1, &padding, 1))
			return 0;
		if (!padding || padding > payload - header)
			return 0;
	}
	return 1;
}

static __always_inline int has_type(const __u64 types[2], __u32 type)
{
	__u64 word = type & 64 ? types[1] : types[0];
	return word >> (type & 63) & 1;
}

// What the stream of the packet says against it; -1: nothing.
static __always_inline int refuse_source(const struct flow_stats *stats, const struct packet *packet)
{
	__u64 wanted = SOURCE_TAKEN | packet->ssrc;
	for (int i = 0; i < FLOW_SOURCES; i++) {
		const struct flow_source *source = &stats->sources[i];
		__u64 owner = *(volatile __u64 *)&source->owner;
		if (!owner)
			return -1;
		if (owner != wanted)
			continue;
		__u64 order = *(volatile __u64 *)&source->order;
		if (!order)
			return -1;
		__u16 ahead = packet->sequence - (__u16)(order >> 32);
		__u16 behind = -ahead;
		return ahead >= MAX_DROPOUT && behind >= MAX_DROPOUT ? REASON_SEQUENCE : -1;
	}
	return REASON_SOURCES;
}

// What the content of a flow's packet says against it; -1: nothing.
static __always_inline int refuse(void *context, int is_xdp, const struct packet *packet, const struct flow_spec *spec,
				  const struct flow_stats *stats, const int has_srtp)
{
	if (!has_srtp && spec->flags & (FLOW_OPEN | FLOW_SEAL))
		return REASON_CRYPT;
	if (packet->vlan != spec->vlan_in)
		return REASON_VLAN;
	if (spec->flags & FLOW_SOURCE) {
		if (packet->source_port != spec->source_port || !is_same(packet->source, spec->source))
			return REASON_SOURCE;
	}
	// RFC 7983.
	if (packet->flags < 4)
		return REASON_STUN;
	if (packet->flags >= 20 && packet->flags < 64)
		return REASON_DTLS;
	if (packet->flags >> 6 != 2)
		return REASON_NOT_RTP;
	if (packet->datagram < UDP_BYTES + RTP_BYTES)
		return REASON_MALFORMED;
	// RFC 5761 4.
	if (packet->marker_type >= 192 && packet->marker_type < 224)
		return REASON_RTCP;
	__u32 type = packet->marker_type & 0x7f;
	if (!has_type(spec->forwarded, type))
		return REASON_PAYLOAD_TYPE;
	if (has_type(spec->watched, type))
		return REASON_WATCHED;
	if (spec->flags & FLOW_MARKER_UP && packet->marker_type & 0x80)
		return REASON_MARKER;
	if (spec->flags & FLOW_SSRC && packet->ssrc != spec->ssrc)
		return REASON_SSRC;
	if (!is_rtp(context, is_xdp, packet, spec->flags & FLOW_OPEN))
		return REASON_MALFORMED;
	return refuse_source(stats, packet);
}

// Finds the next hop; returns what is against it, or -1.
static __always_inline int find_next_hop(void *context, int is_xdp, const struct packet *packet, struct way *way)
{
	struct flow_spec *spec = way->spec;
	int to_v4 = spec->flags & FLOW_TO_V4;
	__u32 arrived_at = is_xdp ? ((struct xdp_md *)context)->ingress_ifindex :
				    ((struct __sk_buff *)context)->ingress_ifindex;
	way->interface = spec->interface;
	way->has_ethernet = 0;
	if (spec->flags & FLOW_ETHERNET) {
		__builtin_memcpy(way->ethernet, spec->ethernet, 12);
		way->has_ethernet = 1;
	} else if (is_xdp || !spec->interface) {
		struct bpf_fib_lookup route = {};
		route.ifindex = arrived_at;
		route.l4_protocol = IPPROTO_UDP;
		route.sport = spec->from_port;
		route.dport = spec->to_port;
		if (to_v4) {
			route.family = AF_INET;
			route.ipv4_src = *(__u32 *)(spec->from + 12);
			route.ipv4_dst = *(__u32 *)(spec->to + 12);
		} else {
			route.family = AF_INET6;
			__builtin_memcpy(route.ipv6_src, spec->from, 16);
			__builtin_memcpy(route.ipv6_dst, spec->to, 16);
		}
		long found = bpf_fib_lookup(context, &route, sizeof(route), 0);
		if (found == BPF_FIB_LKUP_RET_NO_NEIGH)
			return REASON_NEIGHBOUR;
		if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
			return REASON_MTU;
		if (found != BPF_FIB_LKUP_RET_SUCCESS)
			return REASON_ROUTE;
		if (spec->interface && spec->interface != route.ifindex)
			return REASON_ROUTE;
		way->interface = route.ifindex;
		__builtin_memcpy(way->ethernet, route.dmac, 6);
		__builtin_memcpy(way->ethernet + 6, route.smac, 6);
		way->has_ethernet = 1;
	}
	way->length = to_v4 ? V4_BYTES : V6_BYTES;
	// The helper takes the length behind Ethernet.
	__u32 length = (__u32)way->length + packet->datagram;
	long fits = bpf_check_mtu(context, way->interface, &length, 0, 0);
	if (fits < 0)
		return REASON_ROUTE;
	return fits ? REASON_MTU : -1;
}

// Counts a packet as passed up.
static __always_inline void count_up(struct flow_control *control, struct flow_stats *stats, __u32 reason)
{
	__u64 bit = 1ull << (reason & 63);
	__sync_fetch_and_add(&stats->passed_up, 1);
	if (!(*(volatile __u64 *)&stats->reasons & bit))
		__sync_fetch_and_or(&stats->reasons, bit);
	if (reason < 32)
		__sync_fetch_and_add(&control->reasons[reason], 1);
}

// Arrival in units of the clock of the timestamps.
static __always_inline __u32 units(__u64 now, __u32 clock_rate)
{
	const __u64 second = 1000000000;
	return now / second * clock_rate + now % second * clock_rate / second;
}

static __always_inline void count_order(struct flow_source *source, const struct packet *packet, struct way *way)
{
	int is_ahead = 0;
	for (int i = 0; i < TRIES; i++) {
		__u64 old = *(volatile __u64 *)&source->order;
		__u64 new = 0x10000ull + packet->sequence;
		if (old) {
			__u32 highest = old >> 32;
			__u16 ahead = packet->sequence - (__u16)highest;
			if (!ahead || ahead >= MAX_DROPOUT)
				break;
			new = (__u64)(highest + ahead) << 32 | (__u32)old;
		} else {
			new |= new << 32;
		}
		if (__sync_val_compare_and_swap(&source->order, old, new) == old) {
			is_ahead = 1;
			break;
		}
	}
	if (!is_ahead) {
		__sync_fetch_and_add(&source->late, 1);
		return;
	}
	if (!way->spec->clock_rate)
		return;
	__u32 transit = units(way->now, way->spec->clock_rate) - packet->timestamp;
	for (int i = 0; i < TRIES; i++) {
		__u64 old = *(volatile __u64 *)&source->arrival;
		__u64 jitter = (old & ~ARRIVAL_KNOWN) >> 32;
		if (old & ARRIVAL_KNOWN) {
			__s32 difference = transit - (__u32)old;
			__u32 size = difference < 0 ? -(__u32)difference : (__u32)difference;
			if (size < MAX_TRANSIT)
				jitter += size - ((jitter + 8) >> 4);
		}
		__u64 new = ARRIVAL_KNOWN | jitter << 32 | transit;
		if (__sync_val_compare_and_swap(&source->arrival, old, new) == old)
			break;
	}
}

// Counts a packet as forwarded.
static __always_inline void count(const struct packet *packet, struct way *way)
{
	struct flow_stats *stats = way->stats;
	__u64 bytes = packet->datagram - UDP_BYTES;
	__sync_fetch_and_add(&stats->packets, 1);
	__sync_fetch_and_add(&stats->bytes, bytes);
	*(volatile __u64 *)&stats->last = way->now;
	__u64 wanted = SOURCE_TAKEN | packet->ssrc;
	for (int i = 0; i < FLOW_SOURCES; i++) {
		struct flow_source *source = &stats->sources[i];
		__u64 owner = *(volatile __u64 *)&source->owner;
		if (!owner) {
			owner = __sync_val_compare_and_swap(&source->owner, 0, wanted);
			if (!owner)
				owner = wanted;
		}
		if (owner != wanted)
			continue;
		__sync_fetch_and_add(&source->packets, 1);
		__sync_fetch_and_add(&source->bytes, bytes);
		*(volatile __u64 *)&source->last = way->now;
		count_order(source, packet, way);
		return;
	}
}

// Decides about a packet; true: `way` says where it goes. Changes nothing but counters of what is passed up.
static __always_inline int decide(void *context, int is_xdp, struct packet *packet, struct way *way,
				  struct flow_control **control, const int has_srtp)
{
	__u32 zero = 0;
	__u32 *index = bpf_map_lookup_elem(&flow_index, &packet->key);
	if (!index)
		return 0;
	__u32 place = *(volatile __u32 *)index;
	struct flow_spec *spec = bpf_map_lookup_elem(&flow_specs, &place);
	if (!spec)
		return 0;
	// The entry may be another flow's already: the memory of a removed one is used again at once.
	const __u32 *destination = (const __u32 *)packet->key.address;
	if (!is_same(destination, spec->key.address) || packet->key.port != spec->key.port)
		return 0;
	place = spec->stats;
	struct flow_stats *stats = bpf_map_lookup_elem(&flow_figures, &place);
	struct flow_control *state = bpf_map_lookup_elem(&flow_state, &zero);
	if (!stats || !state)
		return 0;
	*control = state;
	way->spec = spec;
	way->stats = stats;
	way->now = bpf_ktime_get_ns();
	int reason = REASON_LEASE;
	if (way->now < *(volatile __u64 *)&state->until)
		reason = refuse(context, is_xdp, packet, spec, stats, has_srtp);
	if (reason < 0)
		reason = find_next_hop(context, is_xdp, packet, way);
	if (reason < 0)
		return 1;
	count_up(state, stats, reason);
	return 0;
}

static __always_inline __u8 new_tos(const struct packet *packet, const struct flow_spec *spec)
{
	// ECN stays.
	return spec->flags & FLOW_DSCP ? spec->tos | (packet->tos & 3) : packet->tos;
}

static __always_inline void write_v4(struct v4_header *ip, const struct packet *packet, const struct flow_spec *spec)
{
	__u32 has_df = packet->has_df;
	if (spec->flags & FLOW_DF)
		has_df = 1;
	if (spec->flags & FLOW_NO_DF)
		has_df = 0;
	// What may be fragmented needs a number of its own (RFC 6864).
	__u16 id = packet->id;
	if (!has_df && packet->has_df)
		id = bpf_get_prandom_u32();
	ip->version_length = 0x45;
	ip->tos = new_tos(packet, spec);
	ip->length = bpf_htons(V4_BYTES + packet->datagram);
	ip->id = id;
	ip->fragment = has_df ? bpf_htons(DF) : 0;
	ip->ttl = spec->hop_limit;
	ip->protocol = IPPROTO_UDP;
	ip->check = 0;
	ip->source = *(const __u32 *)(spec->from + 12);
	ip->destination = *(const __u32 *)(spec->to + 12);
	__u64 sum = bpf_htons(0x4500 | ip->tos);
	sum += ip->length;
	sum += ip->id;
	sum += ip->fragment;
	sum += bpf_htons(ip->ttl << 8 | IPPROTO_UDP);
	sum += ip->source;
	sum += ip->destination;
	ip->check = ~fold(sum);
}

static __always_inline void write_v6(struct v6_header *ip, const struct packet *packet, const struct flow_spec *spec)
{
	const __u32 *from = (const __u32 *)spec->from;
	const __u32 *to = (const __u32 *)spec->to;
	ip->version_class_label = bpf_htonl(6u << 28 | (__u32)new_tos(packet, spec) << 20);
	ip->length = bpf_htons(packet->datagram);
	ip->next = IPPROTO_UDP;
	ip->hop_limit = spec->hop_limit;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		ip->source[i] = from[i];
		ip->destination[i] = to[i];
	}
}

// The sum of the addresses as they arrived. The prefix of mapped ones adds 0xffff, which is nothing.
static __always_inline __u64 address_sum(const struct packet *packet)
{
	const __u32 *to = (const __u32 *)packet->key.address;
	const __u32 *from = packet->source;
	return (__u64)from[0] + from[1] + from[2] + from[3] + to[0] + to[1] + to[2] + to[3];
}

// What the addresses and the ports add to the sum.
static __always_inline __u32 address_change(const struct packet *packet, const struct flow_spec *spec)
{
	return spec->address_sum + (~fold(address_sum(packet)) & 0xffff);
}

static __always_inline __u32 port_change(const struct packet *packet, const struct flow_spec *spec)
{
	__u32 old = fold((__u64)packet->source_port + packet->key.port);
	return (__u32)spec->from_port + spec->to_port + (~old & 0xffff);
}

// The sum of a payload in memory, or negative.
static __always_inline long payload_sum(void *from, void *end, __u32 bytes)
{
	__s64 sum = 0;
	if (bytes > SUM_CHUNK * MAX_SUM_CHUNKS)
		return -1;
	for (int i = 0; i < MAX_SUM_CHUNKS && bytes >= SUM_CHUNK; i++) {
		if (from + SUM_CHUNK > end)
			return -1;
		sum = bpf_csum_diff(0, 0, from, SUM_CHUNK, sum);
		from += SUM_CHUNK;
		bytes -= SUM_CHUNK;
	}
	__u64 rest = 0;
	for (int i = 0; i < SUM_CHUNK / 4 && bytes >= 4; i++) {
		KEEP(end);
		if (from + 4 > end)
			return -1;
		rest += *(__u32 *)from;
		from += 4;
		bytes -= 4;
	}
	__u8 last[4] = {};
	for (int i = 0; i < 3 && bytes; i++) {
		KEEP(end);
		if (from + 1 > end)
			return -1;
		last[i] = *(__u8 *)from;
		from += 1;
		bytes -= 1;
	}
	return fold((__u64)(__u32)sum + rest + *(__u32 *)last);
}

// Functions of their own, which the verifier goes through once and not on every path that leads to them.
__attribute__((noinline)) int payload_sum_tc(struct __sk_buff *skb, __u32 offset, __u32 bytes)
{
	void *data = (void *)(long)skb->data;
	return payload_sum(data + (offset & MAX_PAYLOAD_OFFSET), (void *)(long)skb->data_end, bytes);
}

__attribute__((noinline)) int payload_sum_xdp(struct xdp_md *xdp, __u32 offset, __u32 bytes)
{
	void *data = (void *)(long)xdp->data;
	return payload_sum(data + (offset & MAX_PAYLOAD_OFFSET), (void *)(long)xdp->data_end, bytes);
}

// The whole sum of the new datagram.
static __always_inline __u16 whole_check(__u32 payload, const struct packet *packet, const struct flow_spec *spec)
{
	__u64 sum = (__u64)payload + spec->address_sum + spec->from_port + spec->to_port;
	// The length counts twice: in the header, and before it.
	sum += bpf_htons(IPPROTO_UDP);
	sum += 2 * (__u64)bpf_htons(packet->datagram);
	__u16 check = ~fold(sum);
	return check ? check : 0xffff;
}

static __always_inline int forward_tc(struct __sk_buff *skb, const int has_srtp)
{
	const __u32 needed = ETHERNET_BYTES + VLAN_BYTES + V6_BYTES + UDP_BYTES + RTP_BYTES;
	struct flow_control *control = 0;
	struct packet packet = {};
	struct way way = {};
	// Datagrams that are carried together.
	if (skb->gso_size)
		return TC_ACT_UNSPEC;
	__u32 linear = skb->data_end - skb->data;
	__u32 bytes = skb->len;
	if (linear < needed && linear < bytes)
		bpf_skb_pull_data(skb, bytes < needed ? bytes : needed);
	if (!read_headers((void *)(long)skb->data, (void *)(long)skb->data_end, bytes, &packet))
		return TC_ACT_UNSPEC;
	int is_tagged = packet.l3 != ETHERNET_BYTES;
	if (skb->vlan_present) {
		// One tag, not two.
		if (is_tagged || skb->vlan_proto != bpf_htons(ETH_P_8021Q))
			return TC_ACT_UNSPEC;
		packet.vlan = skb->vlan_tci & VLAN_ID;
		is_tagged = 1;
	}
	if (!decide(skb, 0, &packet, &way, &control, has_srtp))
		return TC_ACT_UNSPEC;
	struct flow_spec *spec = way.spec;
	int to_v4 = spec->flags & FLOW_TO_V4;

	__u16 arrived = packet.datagram;
	__u32 is_crypt = has_srtp ? spec->flags & (FLOW_OPEN | FLOW_SEAL) : 0;
	struct scratch *scratch = 0;
	if (is_crypt) {
		int length = crypt(skb, packet.l4 + UDP_BYTES, packet.datagram - UDP_BYTES, spec->stats, is_crypt);
		scratch = scratch_of_cpu();
		if (length < 0 || length > MAX_SRTP || !scratch) {
			count_up(control, way.stats, length < 0 ? -1 - length : REASON_CRYPT);
			return TC_ACT_UNSPEC;
		}
		packet.datagram = UDP_BYTES + length;
	}

	// IPv6 has no datagrams without a sum (RFC 8200 8.1).
	int is_whole = !packet.check && !to_v4;
	__u16 whole = 0;
	if (is_whole && is_crypt) {
		whole = whole_check(scratch->sum_after, &packet, spec);
	} else if (is_whole) {
		int sum = -1;
		if (!bpf_skb_pull_data(skb, (__u32)packet.l4 + packet.datagram))
			sum = payload_sum_tc(skb, packet.l4 + UDP_BYTES, packet.datagram - UDP_BYTES);
		if (sum < 0) {
			count_up(control, way.stats, REASON_CHECKSUM);
			return TC_ACT_UNSPEC;
		}
		whole = whole_check(sum, &packet, spec);
	}

	// What was opened or sealed has used up its number: it cannot be passed up any more.
	if (is_tagged && bpf_skb_vlan_pop(skb)) {
		count_up(control, way.stats, is_crypt ? REASON_SPOILED : REASON_ROOM);
		return is_crypt ? TC_ACT_SHOT : TC_ACT_UNSPEC;
	}
	if (!!to_v4 != packet.is_v4 && bpf_skb_change_proto(skb, bpf_htons(to_v4 ? ETH_P_IP : ETH_P_IPV6), 0)) {
		int is_spoiled = is_tagged || is_crypt;
		count_up(control, way.stats, is_spoiled ? REASON_SPOILED : REASON_ROOM);
		return is_spoiled ? TC_ACT_SHOT : TC_ACT_UNSPEC;
	}
	// From here on nothing fails but for want of memory.
	long failed = 0;
	__u32 udp = ETHERNET_BYTES + way.length;
	if (is_crypt)
		failed |= write_copy(skb, udp, packet.datagram);
	if (to_v4) {
		struct v4_header ip;
		write_v4(&ip, &packet, spec);
		failed |= bpf_skb_store_bytes(skb, ETHERNET_BYTES, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
	} else {
		struct v6_header ip;
		write_v6(&ip, &packet, spec);
		failed |= bpf_skb_store_bytes(skb, ETHERNET_BYTES, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
	}
	__u16 ports[2] = { spec->from_port, spec->to_port };
	__u32 check = udp + 6;
	if (is_whole) {
		failed |= bpf_skb_store_bytes(skb, udp, ports, sizeof(ports), BPF_F_RECOMPUTE_CSUM);
		failed |= bpf_skb_store_bytes(skb, check, &whole, sizeof(whole), BPF_F_RECOMPUTE_CSUM);
	} else if (packet.check) {
		// The kernel knows whether the sum is whole or partial; in a partial one are the addresses alone. What the
		// ports change is made up for by the sum.
		failed |= bpf_skb_store_bytes(skb, udp, ports, sizeof(ports), 0);
		__u64 outside = address_change(&packet, spec), inside = port_change(&packet, spec);
		if (is_crypt) {
			__u32 longer = bpf_htons(packet.datagram) + (~bpf_htons(arrived) & 0xffff);
			outside += longer;
			inside += longer;
			inside += scratch->sum_after + (~scratch->sum_before & 0xffff);
		}
		failed |= bpf_l4_csum_replace(skb, check, 0, fold(outside), BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
		failed |= bpf_l4_csum_replace(skb, check, 0, fold(inside), BPF_F_MARK_MANGLED_0);
	} else {
		failed |= bpf_skb_store_bytes(skb, udp, ports, sizeof(ports), BPF_F_RECOMPUTE_CSUM);
	}
	if (way.has_ethernet) {
		__u8 ethernet[ETHERNET_BYTES];
		__builtin_memcpy(ethernet, way.ethernet, 12);
		*(__u16 *)(ethernet + 12) = bpf_htons(to_v4 ? ETH_P_IP : ETH_P_IPV6);
		failed |= bpf_skb_store_bytes(skb, 0, ethernet, sizeof(ethernet), 0);
		if (spec->vlan_out)
			failed |= bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), spec->vlan_out);
	}
	if (failed) {
		count_up(control, way.stats, REASON_SPOILED);
		return TC_ACT_SHOT;
	}
	packet.datagram = arrived;
	count(&packet, &way);
	if (way.has_ethernet)
		return bpf_redirect(way.interface, 0);
	return bpf_redirect_neigh(way.interface, 0, 0, 0);
}

SEC("classifier")
int flows_tc(struct __sk_buff *skb)
{
	return forward_tc(skb, 0);
}

SEC("classifier")
int flows_srtp(struct __sk_buff *skb)
{
	return forward_tc(skb, 1);
}

static __always_inline int forward_xdp(struct xdp_md *xdp, const int is_generic)
{
	struct flow_control *control = 0;
	struct packet packet = {};
	struct way way = {};
	void *data = (void *)(long)xdp->data;
	void *end = (void *)(long)xdp->data_end;
	if (!read_headers(data, end, end - data, &packet))
		return XDP_PASS;
	if (!decide(xdp, 1, &packet, &way, &control, 0))
		return XDP_PASS;
	struct flow_spec *spec = way.spec;
	int to_v4 = spec->flags & FLOW_TO_V4;

	// A sum of the addresses alone is one that a device was to complete (veth, virtio). A frame of a driver says nothing
	// of that when it leaves, so the sum is taken here. Outside of the driver the next device may still complete it,
	// or not: nobody tells, so such a packet is passed up.
	__u32 partial = fold(address_sum(&packet) + bpf_htons(packet.datagram) + bpf_htons(IPPROTO_UDP));
	__u16 check = packet.check;
	if (is_generic && check == partial) {
		count_up(control, way.stats, REASON_CHECKSUM);
		return XDP_PASS;
	}
	if (check == partial || (!check && !to_v4)) {
		int sum = payload_sum_xdp(xdp, packet.l4 + UDP_BYTES, packet.datagram - UDP_BYTES);
		if (sum < 0) {
			count_up(control, way.stats, REASON_CHECKSUM);
			return XDP_PASS;
		}
		check = whole_check(sum, &packet, spec);
	} else if (check) {
		// RFC 1624.
		__u64 sum = ~check & 0xffff;
		check = ~fold(sum + address_change(&packet, spec) + port_change(&packet, spec));
		if (!check)
			check = 0xffff;
	}

	__u32 l3 = ETHERNET_BYTES + (spec->vlan_out ? VLAN_BYTES : 0);
	__s32 shorter = packet.l4 - (__s32)(l3 + way.length);
	if (shorter && bpf_xdp_adjust_head(xdp, shorter)) {
		count_up(control, way.stats, REASON_ROOM);
		return XDP_PASS;
	}
	data = (void *)(long)xdp->data;
	end = (void *)(long)xdp->data_end;
	__u8 *ethernet = data;
	__u16 type = bpf_htons(to_v4 ? ETH_P_IP : ETH_P_IPV6);
	if (data + ETHERNET_BYTES > end)
		goto spoiled;
	__builtin_memcpy(ethernet, way.ethernet, 12);
	void *next = data + ETHERNET_BYTES;
	if (spec->vlan_out) {
		if (next + VLAN_BYTES > end)
			goto spoiled;
		*(__u16 *)(ethernet + 12) = bpf_htons(ETH_P_8021Q);
		*(__u16 *)next = bpf_htons(spec->vlan_out);
		*(__u16 *)(next + 2) = type;
		next += VLAN_BYTES;
	} else {
		*(__u16 *)(ethernet + 12) = type;
	}
	if (to_v4) {
		if (next + V4_BYTES > end)
			goto spoiled;
		write_v4(next, &packet, spec);
		next += V4_BYTES;
	} else {
		if (next + V6_BYTES > end)
			goto spoiled;
		write_v6(next, &packet, spec);
		next += V6_BYTES;
	}
	struct udp_header *udp = next;
	if ((void *)(udp + 1) > end)
		goto spoiled;
	udp->source = spec->from_port;
	udp->destination = spec->to_port;
	udp->check = check;
	count(&packet, &way);
	return bpf_redirect(way.interface, 0);

spoiled:
	count_up(control, way.stats, REASON_SPOILED);
	return XDP_DROP;
}

SEC("xdp")
int flows_xdp(struct xdp_md *xdp)
{
	return forward_xdp(xdp, 0);
}

SEC("xdp")
int flows_generic(struct xdp_md *xdp)
{
	return forward_xdp(xdp, 1);
}

// The helpers for routes and for the MTU are for programs under the GPL alone; the MIT licence allows it.
char LICENSE[] SEC("license") = "Dual MIT/GPL";
