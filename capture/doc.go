// Package capture is a running capture of the Unix domain sockets of a machine:
// it attaches the programs of package bpf, reads what they report, gives every
// unit its identity and its place in the order, and hands out packets.
//
//	s, err := capture.Start(ctx, capture.Options{})
//	if err != nil { ... }
//	defer s.Close()
//	for p, err := range s.Packets() { ... }
//
// # What is captured
//
// For every successful send that the options keep: exactly its bytes, once, in
// the order in which the receiver gets them. The unit is what the kernel queues
// at once, an skb: a datagram, or a part of a stream. What could not be had is
// marked in the packet (Uncertain, Truncated), and counted in [Stats].
//
// # Hook sets
//
// The send side (fentry or kprobe) takes a unit in the sender's context, from
// the skb itself, before it is inserted into the receiver's queue. Up to v6.16
// skb_queue_tail runs under the receiver's lock, so order and sender are right
// by construction. Later kernels insert without a call: there a unit is pending
// from the moment its bytes are copied until sock_def_readable, and the order
// of tasks that write one stream at once comes from the reader (units.go).
//
// The receive side (tracepoint) takes a unit when it has been read, or is thrown
// away unread. It needs nothing but tracepoints, so it works under lockdown.
// Who sent is learnt by counting or from the allocation (bpf/senders.h,
// [Options].Senders), what nobody reads from an iterator (waiting.go).
//
// Which set works is found by attaching it and by sending to ourselves; no
// version is looked at. See [Sets].
//
// # Readers
//
// A unit is done with when its skb is freed; the task that does it has read it
// (bpf/receive.h). The receive side takes it there, so it knows. The send side
// notes what a unit is called, by its skb, before another can see it, and is
// told who read it, and when (bpf/readers.h). Packets that are still held back
// say so themselves, others by a packet of their own (readers.go).
//
// # Life cycle
//
// Connect, accept, listen, shutdown and close are told by the tracepoints of
// system calls, under every set (bpf/lifecycle.h, lifecycle.go): a connect stands
// before all data of its connection, a close behind all that its socket sent.
// The receive side holds a close back until that has been taken. A close is that
// of the socket, not of a descriptor, and only of one that had a name or a peer;
// [Sets] says what a set does not see of it.
//
// # Who processes are
//
// The kernel side tells of a process in its own context, before what it does and
// once until that changes: its program, arguments and control group. So one that
// ends at once is known, and one that gets its pid is another: events name it by
// pid and a number (bpf/process.h, processes.go). Of a peer that has done nothing
// that is seen, /proc is asked, and believed if that process was started before
// its pid was told of. The path of a control group tells of a container, a pod
// and a unit; what an engine calls its container is in the engine's files
// (package container).
//
// # What is passed along
//
// An skb holds the files that its message passes. The send side tells of them as
// it takes the skb, the receive side when its first bytes are copied, for the
// reader has them before it is taken (bpf/passed.h, passing.h, passed.go). A
// descriptor's number in the sender is told where it surely is that file's.
// Of credentials those are told that the receiver asked for, or that are not the
// sender's own: the kernel adds the others as it likes.
//
// # Sockets that are older than the capture
//
// When all programs are in place, a snapshot is taken beside reading (package
// snapshot), and joined with what the kernel side tells by the inode (begin.go,
// older.go): a record for each socket, and for its connection a number, a
// server and the one process that holds either end, from then on. What the
// kernel side tells before that is held, for a second or 8 MiB; beyond, it goes
// out, and the snapshot takes over the numbers that connections have by then.
// What was connected, accepted or made to listen since the start is not older,
// where system calls tell of it; a pair that is made while the snapshot is
// taken may pass for older. A socket that is seen to close is forgotten.
//
// # From records to packets
//
// Records are read by one goroutine, the consumer of [Session.Packets]. Pieces
// become units (units.go), units stand in their receiver's queue until their
// place there is certain, packets of all sockets are ordered by time within a
// window (order.go). Socket numbers of the kernel side become identities
// (sockets.go): addresses of socks are used again at once, numbers never.
//
// # Filtering
//
// What [Options].Paths and [Options].Filter surely leave out by what the kernel
// side knows, it leaves out before a byte is copied: their tests (package
// filter) become functions of its programs (lower.go, bpf/filter.h), the files
// behind names are found here and told through shared memory (names.go). The
// rest is asked again, of each packet. What is left out counts in the sender's
// offset, and the next packet that is kept says so in Skipped. Of two connected
// sockets that can say nothing which is kept, nothing is noted; should that
// change, because one is bound, they are a new connection, whose offsets begin
// there.
//
// # What is remembered
//
// Every table has a bound, and forgets what was not used for longest
// (generations.go): 131,072 sockets and as many connections, and up to twice that,
// but only while they are open; of those that were closed the last 4,096
// (closed.go). Where the word of that is lost the kernel side's map is asked who is
// gone (sweep.go), and with him goes what he left behind: his connection, and what
// he had not read. 65,536 units that nobody has read yet, 8,192 processes, as many
// as the kernel side takes for known, 4,096 listeners, 8,192 files of others, and
// those that a path has chosen. Of the time before the capture are the older sockets
// alone, until they are closed.
//
// # Time
//
// Packets carry the kernel's boot time, mapped to wall time once, at the start:
// a step of the wall clock neither bends nor repeats the times of a capture.
package capture
