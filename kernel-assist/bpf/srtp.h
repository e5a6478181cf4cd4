// SRTP of a flow: AES_CM_128_HMAC_SHA1_80 and _32 (RFC 3711 §4, §5; RFC 4568 §6.2).
//
// A packet is copied, opened and sealed in the copy, and written back when all of it is well: what is refused is passed
// up as it came, and has changed nothing.
//
// Included by flows.bpf.c. AES is done by tables: what it takes depends on the key, for somebody who shares the core's
// cache. Functions that are not static are gone through by the verifier once, and not on every path that leads to them.

#ifndef WINDLASS_SRTP_H
#define WINDLASS_SRTP_H

#include "aes_tables.h"

#define SHA_BYTES 64
#define SHA_WORDS 16
// Blocks of the longest packet, with rollover counter, end mark and length behind it.
#define SHA_BLOCKS ((MAX_SRTP + 4 + 1 + 8 + SHA_BYTES - 1) / SHA_BYTES)
#define AES_WORDS 4
// Bytes of keystream blocks up to the end of the longest packet.
#define COPY_WORDS (SHA_BLOCKS * SHA_WORDS)

// The sum of the copy is taken at once: both its halves have this length at most.
#define MAX_SRTP_MASK 0x1ff
_Static_assert(MAX_SRTP < MAX_SRTP_MASK, "bounds that the verifier understands");

#define HALF 0x8000ull
#define PERIOD 0x10000ull
#define LAST_INDEX ((1ull << 48) - 1)
#define WINDOW 64
// RFC 3711 §3.3.2 lets receivers drop what is further back than 64; somebody who only writes the sender's address on a
// packet must not make the sender's own ones that old.
#define FAR 128

// Where a packet is while it is worked on; one per CPU.
struct scratch {
	__u32 copy[COPY_WORDS];
	// What is hashed last, in the byte order of a packet; then the result, as numbers.
	__u32 outer[SHA_WORDS];
	__u32 hash[5];
	__u32 schedule[SHA_WORDS];
	// The tag that a packet came with.
	__u8 tag[12];
	// The counter block without its counter.
	__u32 iv[4];
	// Of the payload of UDP, as it came and as it is: folded.
	__u32 sum_before;
	__u32 sum_after;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} flow_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_crypt);
} flow_crypt SEC(".maps");

// A bound that the verifier sees: the compiler drops what it has proven, and forgets what it has proven on the way to memory.
#define BOUND(number, mask) asm volatile("%0 &= %1" : "+r"(number) : "i"(mask))
_Static_assert(COPY_WORDS == 128, "bounds that the verifier understands");

static __always_inline struct scratch *scratch_of_cpu(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&flow_scratch, &zero);
}

static __always_inline __u32 rotate(__u32 word, int by)
{
	return word << by | word >> (32 - by);
}

// Takes a block into the hash (FIPS 180-4 §6.1.2): of the copy, or `SHA_BLOCKS` for `outer`.
__attribute__((noinline)) int sha1_block(__u32 number)
{
	struct scratch *scratch = scratch_of_cpu();
	if (!scratch || number > SHA_BLOCKS)
		return -1;
	// `outer` follows the copy.
	__u64 at = number * SHA_WORDS;
	BOUND(at, 255);
	if (at > SHA_BLOCKS * SHA_WORDS)
		return -1;
	const __u32 *words = scratch->copy + at;
	// In memory: sixteen words and the state are more than registers and stack have room for.
	volatile __u32 *w = scratch->schedule;
#pragma unroll
	for (int i = 0; i < SHA_WORDS; i++)
		w[i] = bpf_ntohl(words[i]);
	__u32 a = scratch->hash[0], b = scratch->hash[1], c = scratch->hash[2], d = scratch->hash[3];
	__u32 e = scratch->hash[4];
#pragma unroll
	for (int i = 0; i < 80; i++) {
		__u32 mixed, constant;
		if (i >= SHA_WORDS) {
			__u32 next = w[(i + 13) & 15] ^ w[(i + 8) & 15] ^ w[(i + 2) & 15] ^ w[i & 15];
			w[i & 15] = rotate(next, 1);
		}
		if (i < 20) {
			mixed = d ^ (b & (c ^ d));
			constant = 0x5a827999;
		} else if (i < 40) {
			mixed = b ^ c ^ d;
			constant = 0x6ed9eba1;
		} else if (i < 60) {
			mixed = (b & c) | (d & (b | c));
			constant = 0x8f1bbcdc;
		} else {
			mixed = b ^ c ^ d;
			constant = 0xca62c1d6;
		}
		__u32 sum = rotate(a, 5) + mixed + e + constant + w[i & 15];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = sum;
	}
	scratch->hash[0] += a;
	scratch->hash[1] += b;
	scratch->hash[2] += c;
	scratch->hash[3] += d;
	scratch->hash[4] += e;
	return 0;
}

// Writes a byte of the copy.
static __always_inline void put(struct scratch *scratch, __u32 at, __u8 byte)
{
	__u64 bound = at;
	BOUND(bound, 511);
	((__u8 *)scratch->copy)[bound] = byte;
}

static __always_inline __u8 get(const struct scratch *scratch, __u32 at)
{
	__u64 bound = at;
	BOUND(bound, 511);
	return ((const __u8 *)scratch->copy)[bound];
}

static __always_inline void put_word(struct scratch *scratch, __u32 at, __u32 word)
{
	__u64 bound = at;
	BOUND(bound, 127);
	scratch->copy[bound] = word;
}

static __always_inline struct srtp_half *half_of(struct flow_crypt *crypt, __u32 is_seal)
{
	return is_seal ? &crypt->seal : &crypt->open;
}

// The tag of the first `bytes` of the copy, with the rollover counter behind them: HMAC (RFC 2104) into `hash`. What was
// behind them is overwritten.
__attribute__((noinline)) int authenticate(__u32 place, __u32 is_seal, __u32 bytes, __u32 rollover)
{
	struct scratch *scratch = scratch_of_cpu();
	struct flow_crypt *crypt = bpf_map_lookup_elem(&flow_crypt, &place);
	if (!scratch || !crypt || bytes > MAX_SRTP)
		return -1;
	const struct srtp_half *half = half_of(crypt, is_seal);
	put(scratch, bytes, rollover >> 24);
	put(scratch, bytes + 1, rollover >> 16);
	put(scratch, bytes + 2, rollover >> 8);
	put(scratch, bytes + 3, rollover);
	put(scratch, bytes + 4, 0x80);
	__u32 blocks = (bytes + 4 + 1 + 8 + SHA_BYTES - 1) / SHA_BYTES;
	__u32 end = blocks * SHA_WORDS - 1;
	for (int i = 5; i < 8; i++)
		put(scratch, bytes + i, 0);
	__u32 word = (bytes + 5 + 3) / 4;
	for (int i = 0; i < SHA_WORDS + 2; i++) {
		if (word >= end)
			break;
		put_word(scratch, word, 0);
		word++;
	}
	put_word(scratch, end, bpf_htonl((SHA_BYTES + bytes + 4) * 8));
#pragma unroll
	for (int i = 0; i < 5; i++)
		scratch->hash[i] = half->inner[i];
	for (__u32 i = 0; i < SHA_BLOCKS; i++) {
		if (i >= blocks)
			break;
		if (sha1_block(i))
			return -1;
	}
#pragma unroll
	for (int i = 0; i < 5; i++) {
		scratch->outer[i] = bpf_htonl(scratch->hash[i]);
		scratch->hash[i] = half->outer[i];
	}
	scratch->outer[5] = bpf_htonl(0x80000000);
#pragma unroll
	for (int i = 6; i < SHA_WORDS - 1; i++)
		scratch->outer[i] = 0;
	scratch->outer[SHA_WORDS - 1] = bpf_htonl((SHA_BYTES + 20) * 8);
	return sha1_block(SHA_BLOCKS);
}

static __always_inline __u32 inner_round(__u32 a, __u32 b, __u32 c, __u32 d, __u32 key)
{
	return aes_round_0[a >> 24] ^ aes_round_1[b >> 16 & 255] ^ aes_round_2[c >> 8 & 255] ^ aes_round_3[d & 255] ^ key;
}

static __always_inline __u32 last_round(__u32 a, __u32 b, __u32 c, __u32 d, __u32 key)
{
	__u32 word = (__u32)aes_sbox[a >> 24] << 24 | (__u32)aes_sbox[b >> 16 & 255] << 16;
	return (word | (__u32)aes_sbox[c >> 8 & 255] << 8 | aes_sbox[d & 255]) ^ key;
}

// Turns the words of the copy from `word` up to `end` by the keystream of `iv`: AES in counter mode (RFC 3711 §4.1.1).
// Beyond `end` up to three more words are turned.
__attribute__((noinline)) int turn(__u32 place, __u32 is_seal, __u32 word, __u32 end)
{
	struct scratch *scratch = scratch_of_cpu();
	struct flow_crypt *crypt = bpf_map_lookup_elem(&flow_crypt, &place);
	if (!scratch || !crypt)
		return -1;
	const __u32 *key = half_of(crypt, is_seal)->keys;
	for (__u32 block = 0; block < COPY_WORDS / AES_WORDS; block++) {
		__u32 s0, s1, s2, s3;
		if (word >= end)
			return 0;
		if (word > COPY_WORDS - AES_WORDS)
			return -1;
		s0 = scratch->iv[0] ^ key[0];
		s1 = scratch->iv[1] ^ key[1];
		s2 = scratch->iv[2] ^ key[2];
		s3 = (scratch->iv[3] | block) ^ key[3];
		// Not unrolled: the stack has no room for what the compiler reads ahead then.
#pragma clang loop unroll(disable)
		for (int round = 1; round < 10; round++) {
			const __u32 *of_round = key + 4 * round;
			__u32 t0 = inner_round(s0, s1, s2, s3, of_round[0]);
			__u32 t1 = inner_round(s1, s2, s3, s0, of_round[1]);
			__u32 t2 = inner_round(s2, s3, s0, s1, of_round[2]);
			s3 = inner_round(s3, s0, s1, s2, of_round[3]);
			s0 = t0;
			s1 = t1;
			s2 = t2;
		}
		__u64 at = word;
		BOUND(at, 127);
		__u32 *copy = scratch->copy + at;
		copy[0] ^= bpf_htonl(last_round(s0, s1, s2, s3, key[40]));
		copy[1] ^= bpf_htonl(last_round(s1, s2, s3, s0, key[41]));
		copy[2] ^= bpf_htonl(last_round(s2, s3, s0, s1, key[42]));
		copy[3] ^= bpf_htonl(last_round(s3, s0, s1, s2, key[43]));
		word += AES_WORDS;
	}
	return word >= end ? 0 : -1;
}

// The index that a sequence number most likely means (RFC 3711 §3.3.1).
static __always_inline __u64 index_of(__u64 highest, __u16 sequence)
{
	__u64 same = (highest & ~(PERIOD - 1)) | sequence;
	if (same + HALF < highest)
		return same + PERIOD;
	if (same > highest + HALF && same >= PERIOD)
		return same - PERIOD;
	return same;
}

// Whether an index was not used yet, as far as that is known (RFC 3711 §3.3.2).
static __always_inline int is_unused(const struct srtp_half *half, __u64 index)
{
	__u64 highest = half->highest;
	if (index > LAST_INDEX)
		return 0;
	if (index > highest)
		return 1;
	__u64 age = highest - index;
	return age < WINDOW && !(half->window >> (age & 63) & 1);
}

static __always_inline void use(struct srtp_half *half, __u64 index)
{
	__u64 highest = half->highest;
	if (index > highest) {
		__u64 gap = index - highest;
		half->window = gap < WINDOW ? half->window << (gap & 63) | 1 : 1;
		half->highest = index;
		return;
	}
	half->window |= 1ull << (highest - index & 63);
}

static __always_inline void set_iv(struct scratch *scratch, const struct srtp_half *half, __u32 ssrc, __u64 index)
{
	scratch->iv[0] = half->salt[0];
	scratch->iv[1] = half->salt[1] ^ ssrc;
	scratch->iv[2] = half->salt[2] ^ (__u32)(index >> 16);
	scratch->iv[3] = half->salt[3] ^ (__u32)index << 16;
}

// The header of the RTP packet in the copy, in bytes; 0: it does not fit.
static __always_inline __u32 header_of(const struct scratch *scratch, __u32 bytes)
{
	__u32 first = bpf_ntohl(scratch->copy[0]) >> 24;
	__u32 header = RTP_BYTES + 4 * (first & 0x0f);
	if (first & 0x10) {
		__u64 at = header / 4;
		BOUND(at, 127);
		header += 4 + 4 * (bpf_ntohl(scratch->copy[at]) & 0xffff);
	}
	return header <= bytes ? header : 0;
}

static __always_inline __u8 tag_byte(const struct scratch *scratch, __u32 at)
{
	return scratch->hash[(at >> 2) % 5] >> (24 - 8 * (at & 3));
}

// Opens the packet in the copy; gives the length of what it holds, or a reason, negative and less 1.
static __always_inline int open_copy(struct scratch *scratch, struct flow_crypt *crypt, __u32 place, __u32 bytes)
{
	struct srtp_half *half = &crypt->open;
	__u32 tag = half->tag;
	if (tag > MAX_TAG || bytes > MAX_SRTP || bytes < RTP_BYTES + tag)
		return -1 - REASON_MALFORMED;
	bytes -= tag;
	__u32 header = header_of(scratch, bytes);
	if (!header)
		return -1 - REASON_MALFORMED;
	__u16 sequence = bpf_ntohl(scratch->copy[0]);
	__u64 index = index_of(half->highest, sequence);
	if (!is_unused(half, index))
		return -1 - REASON_REPLAYED;
#pragma unroll
	for (__u32 i = 0; i < MAX_TAG; i++)
		scratch->tag[i] = get(scratch, bytes + i);
	if (authenticate(place, 0, bytes, index >> 16))
		return -1 - REASON_CRYPT;
	// All of it, whatever differs.
	__u32 differs = 0;
#pragma unroll
	for (__u32 i = 0; i < MAX_TAG; i++) {
		if (i < tag)
			differs |= scratch->tag[i] ^ tag_byte(scratch, i);
	}
	if (differs)
		return -1 - REASON_TAG;
	set_iv(scratch, half, bpf_ntohl(scratch->copy[2]), index);
	if (turn(place, 0, header / 4, (bytes + 3) / 4))
		return -1 - REASON_CRYPT;
	// RFC 3550 §5.1.
	if (bpf_ntohl(scratch->copy[0]) >> 24 & 0x20) {
		__u32 padding = get(scratch, bytes - 1);
		if (!padding || padding > bytes - header)
			return -1 - REASON_MALFORMED;
	}
	use(half, index);
	return bytes;
}

// Seals the packet in the copy; gives the new length, or a reason, negative and less 1.
static __always_inline int seal_copy(struct scratch *scratch, struct flow_crypt *crypt, __u32 place, __u32 bytes)
{
	struct srtp_half *half = &crypt->seal;
	__u32 tag = half->tag;
	if (tag > MAX_TAG || bytes > MAX_SRTP - MAX_TAG || bytes < RTP_BYTES)
		return -1 - REASON_LONG;
	__u32 header = header_of(scratch, bytes);
	if (!header)
		return -1 - REASON_MALFORMED;
	__u16 sequence = bpf_ntohl(scratch->copy[0]);
	__u64 index = index_of(half->highest, sequence);
	if (!is_unused(half, index))
		return -1 - REASON_REPLAYED;
	if (index > half->highest + FAR)
		return -1 - REASON_SEQUENCE;
	set_iv(scratch, half, bpf_ntohl(scratch->copy[2]), index);
	// From here on the index counts as used, whatever becomes of the packet.
	use(half, index);
	if (turn(place, 1, header / 4, (bytes + 3) / 4) || authenticate(place, 1, bytes, index >> 16))
		return -1 - REASON_CRYPT;
#pragma unroll
	for (__u32 i = 0; i < MAX_TAG; i++) {
		if (i < tag)
			put(scratch, bytes + i, tag_byte(scratch, i));
	}
	return bytes + tag;
}

// The sum of the first `bytes` of the copy; what is behind them up to a whole word is overwritten.
static __always_inline __u32 sum_of_copy(struct scratch *scratch, __u32 bytes)
{
#pragma unroll
	for (__u32 i = 0; i < 3; i++) {
		if ((bytes + i) & 3)
			put(scratch, bytes + i, 0);
		else
			break;
	}
	__u32 whole = (bytes + 3) & ~3u & MAX_SRTP_MASK;
	return fold((__u32)bpf_csum_diff(0, 0, scratch->copy, whole, 0));
}

// Opens and seals a packet, whose `bytes` stand at `offset`; `what` has FLOW_OPEN, FLOW_SEAL or both. Gives the new length,
// and leaves the content in the copy; or a reason, negative and less 1.
__attribute__((noinline)) int crypt(struct __sk_buff *skb, __u32 offset, __u32 bytes, __u32 place, __u32 what)
{
	struct scratch *scratch = scratch_of_cpu();
	struct flow_crypt *crypt = bpf_map_lookup_elem(&flow_crypt, &place);
	if (!scratch || !crypt)
		return -1 - REASON_CRYPT;
	if (bytes > MAX_SRTP || bytes < RTP_BYTES)
		return -1 - REASON_LONG;
	if (bpf_skb_load_bytes(skb, offset, scratch->copy, bytes))
		return -1 - REASON_MALFORMED;
	scratch->sum_before = sum_of_copy(scratch, bytes);
	// One packet at a time, and none once user space has taken the state back.
	int is_ours = 0;
	for (int i = 0; i < CRYPT_TRIES; i++) {
		__u32 found = __sync_val_compare_and_swap(&crypt->hold, HOLD_FREE, HOLD_PROGRAM);
		if (found == HOLD_FREE) {
			is_ours = 1;
			break;
		}
		if (found != HOLD_PROGRAM)
			break;
	}
	if (!is_ours)
		return -1 - REASON_BUSY;
	int length = bytes;
	if (what & FLOW_OPEN)
		length = open_copy(scratch, crypt, place, length);
	if (length >= 0 && what & FLOW_SEAL)
		length = seal_copy(scratch, crypt, place, length);
	__sync_val_compare_and_swap(&crypt->hold, HOLD_PROGRAM, HOLD_FREE);
	if (length >= 0 && length <= MAX_SRTP)
		scratch->sum_after = sum_of_copy(scratch, length);
	return length;
}

// Makes the content of a datagram that of the copy, and its length.
__attribute__((noinline)) int write_copy(struct __sk_buff *skb, __u32 udp, __u32 datagram)
{
	struct scratch *scratch = scratch_of_cpu();
	__u32 bytes = datagram - UDP_BYTES;
	if (!scratch || !bytes || bytes > MAX_SRTP)
		return -1;
	// What is behind the datagram goes.
	long failed = bpf_skb_change_tail(skb, udp + datagram, 0);
	__u16 length = bpf_htons(datagram);
	failed |= bpf_skb_store_bytes(skb, udp + 4, &length, sizeof(length), 0);
	failed |= bpf_skb_store_bytes(skb, udp + UDP_BYTES, scratch->copy, bytes, 0);
	return failed ? -1 : 0;
}

#endif
