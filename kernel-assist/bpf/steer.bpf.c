// Steering: datagrams for leased ports reach the sockets of the workers, with no socket per port.
//
// `steer` runs in the socket look-up of the network namespace, after connected sockets and before bound ones. A port
// that is not leased behaves as if this program were not there. `holders` asks whether ports belong to a socket of
// anybody, before they are leased. `bind4` and `bind6` keep leased ports from other processes: a socket that one of
// them bound to a leased port would hear nothing, and one that it also connected would take the media of the peer.
//
// Built by kernel-assist/bpf/build; the layout of the structures is repeated in src/layout.rs.

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define SOCK_DGRAM 2
#define EADDRINUSE 98

#define STATE_OPEN 1u
#define STATE_GATED 2u
// Somebody's, and perhaps not open yet: for the process alone.
#define STATE_LEASED 4u
#define STATE_SOCKET_SHIFT 8

// IPv6 address, or IPv4 address mapped into it; network byte order.
struct steer_address {
	__u8 bytes[16];
};

// Where the ports of an address are in the table.
struct steer_range {
	__u32 base;
	__u16 first;
	__u16 last;
};

// One port of an address. Written by the process through shared memory, `state` last when the gate closes and first
// when it opens.
struct steer_port {
	// STATE_OPEN: leased. STATE_GATED: only `source` may send. Above STATE_SOCKET_SHIFT: the first of the two pairs
	// of sockets (IPv4 and IPv6) of its worker.
	__u32 state;
	// Datagrams that the gate kept out. Only counts up.
	__u32 refused;
	struct steer_address source;
	// Network byte order.
	__u16 source_port;
	__u16 padding[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct steer_address);
	__type(value, struct steer_range);
} addresses SEC(".maps");

// max_entries is set before it is loaded.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_port);
} ports SEC(".maps");

// Per worker: IPv4 and IPv6 for ports that hear everybody, then IPv4 and IPv6 for gated ones. max_entries is set before
// it is loaded.
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

static __always_inline void map_v4(struct steer_address *to, __u32 address)
{
	__u32 *words = (__u32 *)to->bytes;
	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = address;
}

static __always_inline int is_same(const struct steer_address *a, const struct steer_address *b)
{
	const __u64 *x = (const __u64 *)a->bytes;
	const __u64 *y = (const __u64 *)b->bytes;
	return x[0] == y[0] && x[1] == y[1];
}

// Whether it is a question of `holders`, of this process or another. No router forwards such a datagram, and IPv4
// takes none.
static __always_inline int is_from_nobody(const struct bpf_sk_lookup *ctx, int is_v4)
{
	if (ctx->remote_port != 0)
		return 0;
	if (is_v4)
		return ctx->remote_ip4 == 0;
	return (ctx->remote_ip6[0] | ctx->remote_ip6[1] | ctx->remote_ip6[2] | ctx->remote_ip6[3]) == 0;
}

SEC("sk_lookup/steer")
int steer(struct bpf_sk_lookup *ctx)
{
	if (ctx->protocol != IPPROTO_UDP)
		return SK_PASS;
	int is_v4 = ctx->family == AF_INET;
	struct steer_address local __attribute__((aligned(8)));
	if (is_v4) {
		map_v4(&local, ctx->local_ip4);
	} else {
		__u32 *words = (__u32 *)local.bytes;
		words[0] = ctx->local_ip6[0];
		words[1] = ctx->local_ip6[1];
		words[2] = ctx->local_ip6[2];
		words[3] = ctx->local_ip6[3];
	}
	struct steer_range *range = bpf_map_lookup_elem(&addresses, &local);
	if (!range)
		return SK_PASS;
	__u32 port = ctx->local_port;
	if (port < range->first || port > range->last)
		return SK_PASS;
	__u32 index = range->base + (port - range->first);
	struct steer_port *entry = bpf_map_lookup_elem(&ports, &index);
	if (!entry)
		return SK_PASS;
	__u32 state = *(volatile __u32 *)&entry->state;
	if (!(state & STATE_OPEN))
		return SK_PASS;
	__u32 socket = (state >> STATE_SOCKET_SHIFT) + (is_v4 ? 0 : 1);
	// A gated port is held as well: whoever asks finds the socket of those that hear everybody.
	if ((state & STATE_GATED) && !is_from_nobody(ctx, is_v4)) {
		struct steer_address remote __attribute__((aligned(8)));
		if (is_v4) {
			map_v4(&remote, ctx->remote_ip4);
		} else {
			__u32 *words = (__u32 *)remote.bytes;
			words[0] = ctx->remote_ip6[0];
			words[1] = ctx->remote_ip6[1];
			words[2] = ctx->remote_ip6[2];
			words[3] = ctx->remote_ip6[3];
		}
		if (ctx->remote_port != entry->source_port || !is_same(&remote, &entry->source)) {
			__sync_fetch_and_add(&entry->refused, 1);
			return SK_DROP;
		}
		socket += 2;
	}
	struct bpf_sock *chosen = bpf_map_lookup_elem(&sockets, &socket);
	// No worker any more: as if the port were not leased.
	if (!chosen)
		return SK_PASS;
	// Fails if another program of the namespace chose a socket before: that one keeps it.
	bpf_sk_assign(ctx, chosen, 0);
	bpf_sk_release(chosen);
	return SK_PASS;
}

// What `holders` is asked: as many of these as the packet is long.
struct holders_question {
	// 4 or 6.
	__u16 version;
	// Network byte order.
	__u16 port;
	struct steer_address address;
};

#define MAX_QUESTIONS 8

// Run by the process itself (BPF_PROG_TEST_RUN), never attached. Returns a bit per question: somebody's socket would
// get a datagram for it.
SEC("xdp")
int holders(struct xdp_md *ctx)
{
	__u32 held = 0;
	for (__u32 i = 0; i < MAX_QUESTIONS; i++) {
		void *end = (void *)(long)ctx->data_end;
		struct holders_question *question = (void *)(long)ctx->data + i * sizeof(*question);
		if ((void *)(question + 1) > end)
			break;
		struct bpf_sock_tuple tuple = {};
		struct bpf_sock *sk;
		// From nobody, so that only sockets that hear everybody are found.
		if (question->version == 4) {
			tuple.ipv4.daddr = *(__u32 *)(question->address.bytes + 12);
			tuple.ipv4.dport = question->port;
			sk = bpf_sk_lookup_udp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
		} else {
			__builtin_memcpy(tuple.ipv6.daddr, question->address.bytes, 16);
			tuple.ipv6.dport = question->port;
			sk = bpf_sk_lookup_udp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
		}
		if (sk) {
			held |= 1u << i;
			bpf_sk_release(sk);
		}
	}
	return held;
}

#define MAX_ADDRESSES 256

// An address with ports in the table, for programs that look at all of them.
struct steer_listed {
	struct steer_address address;
	struct steer_range range;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_ADDRESSES);
	__type(key, __u32);
	__type(value, struct steer_listed);
} listed SEC(".maps");

// Whose the leased ports are. The process is known by a socket: who binds the socket with this cookie is the owner.
// So it does not matter in which pid namespace it runs.
struct steer_owner {
	__u64 cookie;
	// The network namespace that the ports are of.
	__u64 netns;
	// Set by the program.
	__u32 process;
	// Entries of `listed`.
	__u32 addresses;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_owner);
} owner SEC(".maps");

static __always_inline int is_leased(const struct steer_range *range, __u32 port)
{
	if (port < range->first || port > range->last)
		return 0;
	__u32 index = range->base + (port - range->first);
	struct steer_port *entry = bpf_map_lookup_elem(&ports, &index);
	return entry && (*(volatile __u32 *)&entry->state & (STATE_LEASED | STATE_OPEN));
}

// 1 lets the bind go on.
static __always_inline int may_bind(struct bpf_sock_addr *ctx, const struct steer_address *local, int is_any, int is_v4)
{
	__u32 zero = 0;
	struct steer_owner *own = bpf_map_lookup_elem(&owner, &zero);
	if (!own || ctx->type != SOCK_DGRAM || bpf_get_netns_cookie(ctx) != own->netns)
		return 1;
	__u32 process = bpf_get_current_pid_tgid() >> 32;
	if (bpf_get_socket_cookie(ctx) == own->cookie)
		own->process = process;
	if (process == own->process)
		return 1;
	__u32 port = bpf_ntohs((__u16)ctx->user_port);
	if (!port)
		return 1;
	if (!is_any) {
		struct steer_range *range = bpf_map_lookup_elem(&addresses, local);
		if (!range || !is_leased(range, port))
			return 1;
	} else {
		int is_held = 0;
		for (__u32 i = 0; i < MAX_ADDRESSES && i < own->addresses; i++) {
			// The verifier follows the counter only in a register.
			__u32 number = i;
			struct steer_listed *one = bpf_map_lookup_elem(&listed, &number);
			if (!one)
				break;
			// The wildcard of IPv4 takes the port of IPv4 addresses alone.
			const __u64 *words = (const __u64 *)one->address.bytes;
			int is_mapped = !words[0] && *(const __u32 *)(one->address.bytes + 8) == bpf_htonl(0xffff);
			if ((is_mapped || !is_v4) && is_leased(&one->range, port)) {
				is_held = 1;
				break;
			}
		}
		if (!is_held)
			return 1;
	}
	bpf_set_retval(-EADDRINUSE);
	return 0;
}

SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr *ctx)
{
	struct steer_address local __attribute__((aligned(8)));
	__u32 address = ctx->user_ip4;
	map_v4(&local, address);
	return may_bind(ctx, &local, address == 0, 1);
}

SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr *ctx)
{
	struct steer_address local __attribute__((aligned(8)));
	__u32 *words = (__u32 *)local.bytes;
	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	int is_any = !(words[0] | words[1] | words[2] | words[3]);
	return may_bind(ctx, &local, is_any, 0);
}

char LICENSE[] SEC("license") = "MIT OR Apache-2.0";
