package capture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sockcap/sockcap/capture/internal/workload"
)

// defect is one of those that other tools have, by its number in the list of
// shared/PEERS.md, and what would show that sockcap has it: cases of the
// workload, which TestGroundTruth runs, tests, and what is in other folders, by
// file and a line that begins so.
type defect struct {
	number int
	about  string
	cases  []string
	tests  []func(*testing.T)
	others [][2]string
}

func defects() []defect {
	return []defect{
		{1, "sends that failed logged as data", []string{"stream-partial", "stream-epipe", "stream-efault", "dgram-errors", "dgram-full", "dgram-mmsg-short"}, nil, nil},
		{2, "partial write logged at full length", []string{"stream-partial", "stream-efault", "procs-killed"}, nil, nil},
		{3, "iovecs beyond the 10th or 36th lost", []string{"stream-writev", "dgram-connected", "seqpacket"}, nil, nil},
		{4, "payload beyond 50 KiB cut, pages mixed up", []string{"stream-sizes", "dgram-sendto", "seqpacket"}, tests(TestLargeUnits, TestSnaplen), nil},
		{5, "time taken in user space", []string{"stream-small", "procs-pingpong", "dgram-unread"}, tests(TestWaiting), nil},
		{6, "the peer is who listened", []string{"procs-prefork", "procs-passed", "procs-early", "readers-postmaster", "readers-activated", "readers-pair",
			"readers-turn", "readers-threads", "dgram-readers"}, nil, nil},
		{7, "unconnected sendto missed, or with the wrong path", []string{"dgram-sendto", "dgram-other", "dgram-receivers"}, nil, nil},
		{8, "source and destination swapped in the dissector", nil, nil, [][2]string{{"wireshark/conversation_test.go", "func TestSourceAndDestination("}}},
		{9, "abstract names garbled", []string{"name-abstract", "name-autobind"}, nil, nil},
		{10, "sendfile, splice, io_uring missed", []string{"sendfile", "sendfile-procs", "splice", "vmsplice", "splice-mixed",
			"uring-send", "uring-writev", "uring-sendmsg", "uring-async", "uring-sqpoll", "uring-large", "read-splice", "read-uring"}, nil, nil},
		{11, "socketpairs invisible", []string{"stream-pair", "dgram-pair", "seqpacket-pair"}, nil, nil},
		{12, "relative, renamed, unlinked sockets", []string{"name-relative", "name-moved", "name-odd-file"}, nil, nil},
		{13, "the same path in two containers mixed, or by another name not matched", []string{"name-same"}, tests(TestPaths, TestPathsBelow, TestSamePath), nil},
		{14, "datagrams dropped by the receiver's filter", []string{"filter-drop", "filter-trim"}, nil, nil},
		{15, "losses not counted, or not where they happened", nil, tests(TestOverload), nil},
		{16, "SCM_RIGHTS and SCM_CREDENTIALS ignored", []string{"scm-rights", "scm-credentials", "passed-kinds", "passed-many", "passed-peek", "passed-no-room",
			"passed-unread", "passed-large", "passed-mmsg", "passed-uring", "passed-splice", "passed-refused", "passed-credentials"}, tests(TestWaitingPassed, TestLiveFDs), nil},
		{17, "names of processes that have ended lost", []string{"procs-gone", "procs-exec"},
			tests(TestShortLived, TestExecutedSince, TestReusedPID, TestListenerGone), nil},
		{18, "1970, microseconds, lengths of what was cut", []string{"stream-small"}, tests(TestSnaplen), nil},
		{19, "terminal escape sequences printed raw", []string{"procs-comm", "name-odd-file"}, nil, [][2]string{
			{"cmd/sockcap/escape_test.go", "func TestAppendEscaped("}, {"cmd/sockcap/escape_test.go", "func TestAppendName("}, {"wireshark/hostile_test.go", "func TestHostileNames("}}},
		{20, "half-written files, full disks, readers of a fifo that go", nil, nil, [][2]string{
			{"testdata/script/failure.txtar", "# A full disk is an error"}, {"cmd/sockcap/live_test.go", "func TestSignalsEnd("},
			{"cmd/sockcap/live_test.go", "func TestFifoReaderGone("}, {"cmd/sockcap/live_test.go", "func TestFifoStuck("}, {"cmd/sockcap/compress_test.go", "func TestKilledCompressed("}}},
		{21, "own output captured again, without end", nil, tests(TestOwnOutput), [][2]string{{"cmd/sockcap/echo_live_test.go", "func TestOutputPassedOn("}}},
		{22, "two writers of one socket in another order", []string{"stream-threads-small", "stream-threads-large", "procs-writers", "procs-fork", "dgram-writers"}, nil, nil},
		{23, "a container's pid shown as the host's", []string{"procs-pidns"}, nil, nil},
	}
}

func tests(f ...func(*testing.T)) []func(*testing.T) { return f }

// TestPeersDefects: each of these defects has a case or a test.
func TestPeersDefects(t *testing.T) {
	cases := make(map[string]bool)
	for _, c := range workload.Cases() {
		cases[c.Name] = true
	}
	all := defects()
	for i, d := range all {
		if d.number != i+1 || len(d.cases)+len(d.tests)+len(d.others) == 0 {
			t.Errorf("defect %d (%s) stands at %d, or nothing shows it", d.number, d.about, i+1)
		}
		for _, name := range d.cases {
			if !cases[name] {
				t.Errorf("defect %d (%s): there is no case %q", d.number, d.about, name)
			}
		}
		for _, other := range d.others {
			if text := source(t, other[0]); !strings.Contains("\n"+text, "\n"+other[1]) {
				t.Errorf("defect %d (%s): no line of %s begins with %q", d.number, d.about, other[0], other[1])
			}
		}
	}
	if len(all) != 23 {
		t.Errorf("%d defects, the list has 23", len(all))
	}
}

// source is a file of this repository. In the machines of testdata/vm, where there
// is none, it ends the test.
func source(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if os.Getenv("SOCKCAP_VM_GUEST") != "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
