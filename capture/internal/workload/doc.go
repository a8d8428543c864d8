// Package workload makes traffic on Unix domain sockets of which everything is
// known, and compares a capture with it.
//
// # Running it
//
// The traffic runs in a process of its own, for a capture leaves out the
// process that it runs in. That process is the same binary, executed again;
// so a command or a TestMain that uses this package calls [Main] first:
//
//	func TestMain(m *testing.M) {
//		workload.Main()
//		os.Exit(m.Run())
//	}
//
// [Start] starts it and lets the cases that want it make their sockets before
// the capture begins; [Worker.Run] runs one case and returns its [Truth], after
// the generator's own readers have checked what they got. A case that this
// kernel has not the means for returns an error that is [ErrNotPossible].
//
// # What is known
//
// Truth lists the directed flows (one sending socket, one receiving socket),
// every send with the task that made it, and, per flow, the units that must
// be captured: bytes in the order in which the receiver read them, or whole
// messages. Contents are not stored: each send's bytes follow from the seed
// and the send's number (see [Truth.Content]), and the top three bits of every
// byte name the task, so that bytes of several writers can be told apart one
// by one.
//
// [Compare] puts the packets of a capture beside it.
package workload
