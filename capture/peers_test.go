package capture

import (
	"testing"

	"github.com/sockcap/sockcap/capture/internal/workload"
)

// defect is one of those that other tools have, by its number in the list of
// shared/PEERS.md, and what would show that sockcap has it: cases of the
// workload, which TestGroundTruth runs, and tests.
type defect struct {
	number int
	about  string
	cases  []string
	tests  []func(*testing.T)
}

func defects() []defect {
	return []defect{
		{1, "sends that failed logged as data", []string{"stream-partial", "stream-epipe", "stream-efault", "dgram-errors", "dgram-full", "dgram-mmsg-short"}, nil},
		{2, "partial write logged at full length", []string{"stream-partial", "stream-efault", "procs-killed"}, nil},
		{3, "iovecs beyond the 10th or 36th lost", []string{"stream-writev", "dgram-connected", "seqpacket"}, nil},
		{4, "payload beyond 50 KiB cut, pages mixed up", []string{"stream-sizes", "dgram-sendto", "seqpacket"}, tests(TestLargeUnits, TestSnaplen)},
		{5, "time taken in user space", []string{"stream-small", "procs-pingpong", "dgram-unread"}, tests(TestWaiting)},
		{6, "the peer is who listened", []string{"procs-prefork", "procs-passed", "procs-early", "readers-postmaster", "readers-activated", "readers-pair",
			"readers-turn", "readers-threads", "dgram-readers"}, nil},
		{7, "unconnected sendto missed, or with the wrong path", []string{"dgram-sendto", "dgram-other", "dgram-receivers"}, nil},
		{9, "abstract names garbled", []string{"name-abstract", "name-autobind"}, nil},
		{10, "sendfile, splice, io_uring missed", []string{"sendfile", "sendfile-procs", "splice", "vmsplice", "splice-mixed",
			"uring-send", "uring-writev", "uring-sendmsg", "uring-async", "uring-sqpoll", "uring-large", "read-splice", "read-uring"}, nil},
		{11, "socketpairs invisible", []string{"stream-pair", "dgram-pair", "seqpacket-pair"}, nil},
		{12, "relative, renamed, unlinked sockets", []string{"name-relative", "name-moved", "name-odd-file"}, nil},
		{13, "the same path in two containers mixed, or by another name not matched", []string{"name-same"}, tests(TestPaths, TestPathsBelow, TestSamePath)},
		{14, "datagrams dropped by the receiver's filter", []string{"filter-drop", "filter-trim"}, nil},
		{15, "losses not counted, or not where they happened", nil, tests(TestOverload)},
		{16, "SCM_RIGHTS and SCM_CREDENTIALS ignored", []string{"scm-rights", "scm-credentials", "passed-kinds", "passed-many", "passed-peek", "passed-no-room",
			"passed-unread", "passed-large", "passed-mmsg", "passed-uring", "passed-splice", "passed-refused", "passed-credentials"}, tests(TestWaitingPassed, TestLiveFDs)},
		{17, "names of processes that have ended lost", []string{"procs-gone", "procs-exec"}, nil},
		{18, "1970, microseconds, lengths of what was cut", []string{"stream-small"}, tests(TestSnaplen)},
		{22, "two writers of one socket in another order", []string{"stream-threads-small", "stream-threads-large", "procs-writers", "procs-fork", "dgram-writers"}, nil},
		{23, "a container's pid shown as the host's", []string{"procs-pidns"}, nil},
	}
}

func tests(f ...func(*testing.T)) []func(*testing.T) { return f }

// TestPeersDefects: each defect that is ours to show has a case or a test.
func TestPeersDefects(t *testing.T) {
	cases := make(map[string]bool)
	for _, c := range workload.Cases() {
		cases[c.Name] = true
	}
	covered := make(map[int]bool)
	for _, d := range defects() {
		if covered[d.number] || len(d.cases)+len(d.tests) == 0 {
			t.Errorf("defect %d (%s) is there twice, or nothing shows it", d.number, d.about)
		}
		covered[d.number] = true
		for _, name := range d.cases {
			if !cases[name] {
				t.Errorf("defect %d (%s): there is no case %q", d.number, d.about, name)
			}
		}
	}
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 18, 22} {
		if !covered[n] {
			t.Errorf("defect %d is not shown", n)
		}
	}
}
