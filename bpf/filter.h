/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef SOCKCAP_FILTER_H
#define SOCKCAP_FILTER_H

#include "socket.h"
#include "task.h"

/*
 * What the user asked for, before a byte is copied. The functions that
 * decide are stubs: the loader puts the filter's program in their place
 * (capture/lower.go). They may say no only to what surely does not match: user
 * space asks again.
 *
 * filter_keep is asked about an event. filter_hope is asked about two sockets
 * alone: where it says no, whoever sends whatever, the sender is hopeless, and
 * nothing is done for it: no state, no account of bytes, no word to user space.
 * When that ends (it is bound, or a file is found to be one that was asked for)
 * it is a new socket to us, whose bytes count from there. filter_sender is asked
 * about a task alone: where it says no, nothing that the task sends matches,
 * whoever gets it. There are filters for which it can say that only if it is known
 * who reads: for these (filters_readers), what a task sends to which it says no,
 * and a task reads to which filter_reader does, does not match.
 */
const volatile bool filtering = false;	     /* filter_keep may say no */
const volatile bool filters_sockets = false; /* filter_hope may say no */
const volatile bool filters_senders = false; /* filter_sender may say no */
const volatile bool filters_readers = false; /* it asks for filter_reader too */
const volatile bool asks_readers = false;    /* it may ask who reads */
const volatile bool asks_ids = false;	     /* of tasks: pid, uid, gid */
const volatile bool asks_comms = false;	     /* of tasks: names */
const volatile bool filters_names = false;   /* they ask for addresses */
const volatile __u64 name_seed = 0;	     /* makes name_of() unguessable */

/* Grows whenever a name is judged: what was concluded before is open again. */
__u32 filter_epoch;

#define READER_FORGOTTEN (~0U)

/* What a filter may ask of a socket, as user space was told of it. */
struct end {
	__u64 number;  /* socket_state.number */
	__u64 address; /* struct unix_address */
	__u64 name;    /* see name_of() */
	__u64 inode;
	__u32 version; /* 0: unknown; odd: the reader is being changed */
	__u32 netns;
	__u32 peer_pid; /* who called connect, listen or socketpair there */
	__u32 peer_uid;
	__u32 peer_gid;
	__u32 reader; /* pid of who read last, 0: nobody yet */
	__u32 reader_uid;
	__u32 reader_gid;
	char reader_comm[COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, __u64); /* struct sock */
	__type(value, struct end);
} ends SEC(".maps");

const volatile struct end unknown_end = {};

/*
 * What user space found of a bound name: which of the filter's paths it
 * matches, by bit, and NAME_JUDGED. A name keeps its place for ever, so the two
 * words need no order; user space writes them through memory that it maps.
 */
#define NAME_JUDGED (1ULL << 63)
#define NAME_WAYS 4
#define NAME_SETS 4096

struct named {
	__u64 name;
	__u64 verdict; /* 0: not judged yet */
};

struct name_set {
	struct named way[NAME_WAYS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NAME_SETS);
	__type(key, __u32);
	__type(value, struct name_set);
} names SEC(".maps");

/*
 * What filter_hope said of a sender, and of what it said so, as two numbers made of
 * that (own_tag() and bond_tag()), so that to look is to load and to compare. Senders
 * that fall to the same place push each other out, and are judged anew.
 */
struct hope {
	__u64 own; /* of the sender; odd: it is hopeless */
	__u64 bond; /* of that and its peer; 0: a datagram's, which may send to any */
};

#define HOPES 65536

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOPES);
	__type(key, __u32);
	__type(value, struct hope);
} hopes SEC(".maps");

/* 0: the event surely does not match. Replaced when it is loaded. */
static __noinline int filter_keep(struct data_event *e, struct end *from,
				  struct end *to, __u64 from_verdict,
				  __u64 to_verdict)
{
	int keep = 1;

	asm volatile(""
		     : "+r"(keep)
		     : "r"(e), "r"(from), "r"(to), "r"(from_verdict),
		       "r"(to_verdict)
		     : "memory");
	return keep;
}

/* 0: nothing from one to the other ever does. Replaced when it is loaded. */
static __noinline int filter_hope(__u64 from_inode, __u64 to_inode,
				  __u64 from_verdict, __u64 to_verdict,
				  __u64 type_netns)
{
	int hope = 1;

	asm volatile(""
		     : "+r"(hope)
		     : "r"(from_inode), "r"(to_inode), "r"(from_verdict),
		       "r"(to_verdict), "r"(type_netns));
	return hope;
}

/* 0: nothing that the task sends ever does. Replaced when it is loaded. */
static __noinline int filter_sender(struct task_id *task)
{
	int keep = 1;

	asm volatile("" : "+r"(keep) : "r"(task) : "memory");
	return keep;
}

/* 0: nor does what the task reads of those. Replaced when it is loaded. */
static __noinline int filter_reader(struct task_id *task)
{
	int keep = 1;

	asm volatile("" : "+r"(keep) : "r"(task) : "memory");
	return keep;
}

static __always_inline __u64 mix(__u64 h, __u64 word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15;
	return h ^ h >> 32;
}

/*
 * A number for a socket's address and the file that it made, 0 if it has none.
 * Of 16,384 names two share one with a probability of 2^-37, and nobody can
 * search for such without the seed. names.go computes the same.
 */
__attribute__((noinline)) __u64 name_of(__u64 key)
{
	struct unix_sock *u = (void *)key;
	struct unix_address *a = address_of((void *)key);
	struct inode *file = BPF_CORE_READ(u, path.dentry, d_inode);
	__u64 h = name_seed, word, at;
	int left, n, i;

	if (!a)
		return 0;
	left = BPF_CORE_READ(a, len) - (int)sizeof(__u16);
	if (left <= 0)
		return 0;
	if (left > ADDRESS_LEN)
		left = ADDRESS_LEN;
	h = mix(h, left);
	if (file) {
		h = mix(h, BPF_CORE_READ(file, i_ino));
		h = mix(h, BPF_CORE_READ(file, i_sb, s_dev));
	}
	at = (__u64)a + bpf_core_field_offset(struct unix_address, name) +
	     sizeof(__u16);
	for (i = 0; i < (ADDRESS_LEN + 7) / 8 && left > 0; i++) {
		n = left < 8 ? left : 8;
		word = 0;
		bpf_probe_read_kernel(&word, n, (void *)at);
		h = mix(h, word);
		at += 8;
		left -= 8;
	}
	h = mix(h, h >> 29);
	return h ? h : 1;
}

/* What is known of a name: NAME_JUDGED and bits, or 0. */
static __always_inline __u64 verdict_on(__u64 name)
{
	__u32 i, set = name & (NAME_SETS - 1);
	struct name_set *s;

	if (!name)
		return NAME_JUDGED;
	s = bpf_map_lookup_elem(&names, &set);
	if (!s)
		return 0;
#pragma unroll
	for (i = 0; i < NAME_WAYS; i++)
		if (s->way[i].name == name)
			return s->way[i].verdict;
	return 0;
}

/* Makes or renews what is known of a live socket. Returns 1 if it is there. */
__attribute__((noinline)) int learn_end(__u64 key)
{
	struct socket_state *st = bpf_map_lookup_elem(&sockets, &key);
	struct end *known = bpf_map_lookup_elem(&ends, &key), fresh = {};
	struct sock *sk = (void *)key;
	struct pid *pid = BPF_CORE_READ(sk, sk_peer_pid);
	const struct cred *cred = BPF_CORE_READ(sk, sk_peer_cred);

	if (!st)
		return 0;
	fresh.number = st->number;
	fresh.address = st->address;
	fresh.inode = st->inode;
	fresh.version = 2;
	fresh.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	fresh.peer_pid = pid ? BPF_CORE_READ(pid, numbers[0].nr) : 0;
	fresh.peer_uid = cred ? BPF_CORE_READ(cred, euid.val) : ~0U;
	fresh.peer_gid = cred ? BPF_CORE_READ(cred, egid.val) : ~0U;
	if (filters_names)
		fresh.name = name_of(key);
	if (known && known->number == fresh.number) {
		fresh.version = (known->version + 2) & ~1U ?: 2;
		fresh.reader = known->reader;
		fresh.reader_uid = known->reader_uid;
		fresh.reader_gid = known->reader_gid;
		__builtin_memcpy(fresh.reader_comm, known->reader_comm,
				 COMM_LEN);
	} else if (st->reader || st->consumed) {
		fresh.reader = READER_FORGOTTEN;
	}
	if (bpf_map_update_elem(&ends, &key, &fresh, BPF_ANY)) {
		count(COUNT_REFUSED, 1);
		return 0;
	}
	return 1;
}

/* What is known of a socket in this state; NULL if nothing is. */
static __always_inline struct end *known_end(__u64 key, struct socket_state *st)
{
	struct end *end = bpf_map_lookup_elem(&ends, &key);

	if (end && end->number == st->number && end->address == st->address &&
	    end->inode == st->inode)
		return end;
	return NULL;
}

/* The same, made if need be, of a socket that is alive. */
static __always_inline struct end *end_of(__u64 key, struct socket_state *st)
{
	struct end *end;

	if (!filtering)
		return NULL;
	end = known_end(key, st);
	if (!end && learn_end(key))
		end = known_end(key, st);
	return end;
}

/*
 * Whether an event is to be told of. NULL is an end of which nothing is known.
 * Of two sockets with addresses the one that receives first is the server: user
 * space has to see which. What it would see for that alone is marked: nothing is
 * lost if the ring has no room for it.
 */
static __always_inline bool is_wanted(struct data_event *e, struct end *from,
				      struct end *to)
{
	__u64 from_verdict = 0, to_verdict = 0;
	__u32 version;

	if (!filtering || !from)
		return true;
	if (!to)
		to = (struct end *)&unknown_end;
	version = *(volatile __u32 *)&to->version;
	if (filters_names) {
		from_verdict = verdict_on(from->name);
		to_verdict = version ? verdict_on(to->name) : 0;
	}
	if (filter_keep(e, from, to, from_verdict, to_verdict))
		return true;
	/* Another CPU may have changed the reader meanwhile. */
	if (version & 1 || *(volatile __u32 *)&to->version != version)
		return true;
	if (!from->address || !to->address)
		return false;
	e->flags |= DATA_UNASKED;
	return true;
}

/* Notes that the current task has read a socket. */
static __always_inline void set_reader(struct end *end, const char *comm)
{
	const __u64 *new = (const void *)comm, *old = (void *)end->reader_comm;
	__u64 id = bpf_get_current_pid_tgid(), ugid = current_ids();

	if (end->reader == id >> 32 && end->reader_uid == (__u32)ugid &&
	    end->reader_gid == ugid >> 32 && old[0] == new[0] &&
	    old[1] == new[1])
		return;
	*(volatile __u32 *)&end->version |= 1;
	end->reader = id >> 32;
	end->reader_uid = (__u32)ugid;
	end->reader_gid = ugid >> 32;
	__builtin_memcpy(end->reader_comm, comm, COMM_LEN);
	*(volatile __u32 *)&end->version += 1;
}

/* An event was left out. */
static __always_inline void skip_bytes(struct socket_state *sender, __u64 n)
{
	__sync_fetch_and_add(&sender->skipped, n);
	count(COUNT_FILTERED, 1);
}

/* The address of a socket and its peer, which lie near each other. */
struct bond {
	__u64 address;
	__u64 peer;
};

#define BOND_SPAN 128

static __always_inline void read_bond(struct bond *b, struct sock *sk)
{
	const __u32 from = bpf_core_field_offset(struct unix_sock, addr);
	const __u32 to = bpf_core_field_offset(struct unix_sock, peer);
	__u64 words[BOND_SPAN / 8];

	if (has_casts() || to < from || to - from >= BOND_SPAN ||
	    bpf_probe_read_kernel(words, sizeof(words), (void *)sk + from)) {
		b->address = (__u64)address_of(sk);
		b->peer = (__u64)peer_of(sk);
		return;
	}
	b->address = words[0];
	b->peer = words[(to - from) / 8 & (BOND_SPAN / 8 - 1)];
}

/* Up to v6.16 a socket that is closed has none. */
static __always_inline __u64 lasting_inode(struct sock *sk)
{
	if (bpf_core_field_exists(sk->sk_ino))
		return BPF_CORE_READ(sk, sk_ino);
	return inode_of(sk);
}

/* A number for a sender by itself, even, as of an epoch of the filter. */
static __always_inline __u64 own_tag(struct sock *sk, __u64 inode,
				     __u64 address, __u32 epoch)
{
	__u64 h = mix(name_seed ^ (__u64)sk, inode);

	return mix(mix(h, address), epoch) & ~1ULL;
}

/* A number for a sender, of which own was said, and its peer; never 0. */
static __always_inline __u64 bond_tag(__u64 own, __u64 peer, __u64 address)
{
	return mix(mix(own, peer), address) | 1;
}

static __always_inline struct hope *hope_at(struct sock *sk)
{
	__u32 place = mix(0, (__u64)sk) & (HOPES - 1);

	return bpf_map_lookup_elem(&hopes, &place);
}

static __always_inline __u64 type_netns(struct sock *sk)
{
	__u64 netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);

	return BPF_CORE_READ(sk, sk_type) | netns << 32;
}

/* Whether what two sockets that are connected say to each other may match. */
static __always_inline bool may_match(struct sock *sk, __u64 inode,
				      __u64 address, struct sock *peer,
				      __u64 peer_address)
{
	__u64 verdict = 0, peer_verdict = 0, to = inode_of(peer);

	if (filters_names) {
		verdict = verdict_on(address ? name_of((__u64)sk) : 0);
		peer_verdict =
			verdict_on(peer_address ? name_of((__u64)peer) : 0);
	}
	return filter_hope(inode, to, verdict, peer_verdict, type_netns(sk)) ||
	       filter_hope(to, inode, peer_verdict, verdict, type_netns(peer));
}

/*
 * Asks filter_hope about a sender, and notes what it says. A datagram socket
 * may send to any other.
 */
__attribute__((noinline)) int judge_sender(__u64 key)
{
	__u32 epoch = *(volatile __u32 *)&filter_epoch;
	struct sock *sk = (void *)key, *peer;
	__u64 inode = inode_of(sk), address = (__u64)address_of(sk);
	__u64 own, bond = 0, peer_address;
	struct hope *h = hope_at(sk);
	struct socket_state *st;

	if (!inode || !h)
		return 0;
	own = own_tag(sk, inode, address, epoch);
	if (BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM) {
		peer = peer_of(sk);
		if (!peer)
			return 0;
		peer_address = (__u64)address_of(peer);
		own |= !may_match(sk, inode, address, peer, peer_address);
		bond = bond_tag(own, (__u64)peer, peer_address);
	}
	*(volatile __u64 *)&h->bond = bond;
	*(volatile __u64 *)&h->own = own;
	if (!(own & 1))
		return 0;
	st = bpf_map_lookup_elem(&sockets, &key);
	if (st)
		st->barren = 1;
	return 1;
}

enum hope_of { HOPELESS, HOPEFUL, OPEN };

/*
 * What is known of a sender. What another CPU writes meanwhile fits together, or is
 * no number of this one. A function of its own, because callers' stacks add up.
 */
static __noinline int known_hope(struct sock *sk)
{
	struct hope *h = hope_at(sk);
	__u64 own, bond;
	struct bond b;

	if (!h)
		return OPEN;
	own = *(volatile __u64 *)&h->own;
	bond = *(volatile __u64 *)&h->bond;
	read_bond(&b, sk);
	if ((own & ~1ULL) !=
	    own_tag(sk, lasting_inode(sk), b.address, filter_epoch))
		return OPEN;
	if (bond &&
	    bond != bond_tag(own, b.peer, (__u64)address_of((void *)b.peer)) &&
	    !is_dead(sk))
		return OPEN;
	return own & 1 ? HOPELESS : HOPEFUL;
}

/* Whether nothing that the socket sends can match. */
static __always_inline bool is_hopeless(struct sock *sk)
{
	enum hope_of hope;

	if (!filters_sockets)
		return false;
	hope = known_hope(sk);
	return hope == OPEN ? judge_sender((__u64)sk) : hope == HOPELESS;
}

/*
 * The send that the current task began last on this CPU, if it needs no account:
 * what follows in the same task need not ask again.
 */
struct note {
	__u64 task; /* pid_tgid */
	__u64 sock;
	/* The receive side's: */
	__u64 peer;
	__u64 epoch; /* when it was a quiet send's, see quiet.h; 0: a hopeless */
	/* The send side's, see call.h: */
	__u64 kind;
	__u64 msg;	/* struct msghdr, 0: its begin was not seen */
	__u64 switches; /* how often the task had been switched by then */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct note);
} notes SEC(".maps");

static __always_inline struct note *note_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&notes, &zero);
}

/* A program that is preempted may mix two notes: the task comes last. */
static __always_inline void make_note(__u64 task, __u64 sock, __u64 peer,
				      __u64 epoch)
{
	struct note *n = note_here();

	if (!n)
		return;
	*(volatile __u64 *)&n->task = 0;
	*(volatile __u64 *)&n->sock = sock;
	*(volatile __u64 *)&n->peer = peer;
	*(volatile __u64 *)&n->epoch = epoch;
	*(volatile __u64 *)&n->task = task;
}

static __always_inline struct note *noted(void)
{
	struct note *n = note_here();

	return n && n->task == bpf_get_current_pid_tgid() ? n : NULL;
}

/* Whether the current task begins a hopeless send. */
static __always_inline bool begins_hopeless(struct sock *sk)
{
	if (!filters_sockets)
		return false;
	if (known_hope(sk) != HOPELESS) {
		make_note(0, 0, 0, 0);
		return false;
	}
	make_note(bpf_get_current_pid_tgid(), (__u64)sk, (__u64)peer_of(sk), 0);
	return true;
}

#endif
