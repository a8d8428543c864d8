package workload

import (
	"slices"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// eventTruth is a connection with its events and what a right capture has of it.
func eventTruth() (*Truth, []*pcapng.Packet) {
	at := func(ms int64) time.Time { return time.Unix(1000, ms*int64(time.Millisecond)) }
	client := Task{PID: 7, TID: 8, UID: 9, GID: 10, Comm: "c", Thread: "t"}
	event := func(e pcapng.Event, sock uint64, conn int, ms int64) Event {
		return Event{Event: e, Task: client, Type: pcapng.Stream, Sock: sock, Path: "/s", Role: pcapng.RoleClient, Conn: conn,
			Begin: at(ms).UnixNano(), End: at(ms + 1).UnixNano()}
	}
	refused := event(pcapng.EventRefused, 1, 0, 0)
	refused.Errno = 2
	truth := &Truth{Case: "c", Events: []Event{refused, event(pcapng.EventConnect, 1, 1, 100), event(pcapng.EventClose, 1, 1, 300)},
		Flows: []Flow{{From: 1, To: 2}, {From: 2, To: 1}}}
	packet := func(e pcapng.Event, sock, conn uint64, ms int64) *pcapng.Packet {
		return &pcapng.Packet{Event: e, Type: pcapng.Stream, Role: pcapng.RoleClient, Path: "/s", ConnID: conn, Time: at(ms),
			Sender: pcapng.Endpoint{PID: 7, TID: 8, UID: 9, GID: 10, Comm: "c", Thread: "t", Inode: sock}}
	}
	packets := []*pcapng.Packet{packet(pcapng.EventRefused, 1, 0, 0), packet(pcapng.EventConnect, 1, 5, 100),
		packet(pcapng.EventData, 1, 5, 200), packet(pcapng.EventClose, 1, 5, 300), packet(pcapng.EventClose, 2, 5, 400)}
	packets[0].Errno = 2
	return truth, packets
}

// TestCompareEvents: a right capture has no differences, and nothing that is
// wrong passes.
func TestCompareEvents(t *testing.T) {
	if truth, packets := eventTruth(); len(CompareEvents(truth, packets)) > 0 {
		t.Fatalf("of a right capture: %q", CompareEvents(truth, packets))
	}
	for name, spoil := range map[string]func(p []*pcapng.Packet) []*pcapng.Packet{
		"missing":      func(p []*pcapng.Packet) []*pcapng.Packet { return slices.Delete(p, 1, 2) },
		"twice":        func(p []*pcapng.Packet) []*pcapng.Packet { return append(p, p[3]) },
		"pid":          func(p []*pcapng.Packet) []*pcapng.Packet { p[1].Sender.PID++; return p },
		"thread":       func(p []*pcapng.Packet) []*pcapng.Packet { p[1].Sender.Thread = ""; return p },
		"uid":          func(p []*pcapng.Packet) []*pcapng.Packet { p[1].Sender.UID++; return p },
		"path":         func(p []*pcapng.Packet) []*pcapng.Packet { p[0].Path = "/t"; return p },
		"errno":        func(p []*pcapng.Packet) []*pcapng.Packet { p[0].Errno++; return p },
		"role":         func(p []*pcapng.Packet) []*pcapng.Packet { p[3].Role = pcapng.RoleServer; return p },
		"bytes":        func(p []*pcapng.Packet) []*pcapng.Packet { p[1].Len = 1; return p },
		"early":        func(p []*pcapng.Packet) []*pcapng.Packet { p[1].Time = p[0].Time; return p },
		"connection":   func(p []*pcapng.Packet) []*pcapng.Packet { p[3].ConnID++; return p },
		"none":         func(p []*pcapng.Packet) []*pcapng.Packet { p[3].ConnID = 0; return p },
		"late connect": func(p []*pcapng.Packet) []*pcapng.Packet { p[1], p[2] = p[2], p[1]; return p },
		"early close":  func(p []*pcapng.Packet) []*pcapng.Packet { p[2], p[3] = p[3], p[2]; return p },
		"invented": func(p []*pcapng.Packet) []*pcapng.Packet {
			q := *p[1]
			q.Event = pcapng.EventListen
			return append(p, &q)
		},
	} {
		truth, packets := eventTruth()
		if len(CompareEvents(truth, spoil(packets))) == 0 {
			t.Errorf("%s: no difference", name)
		}
	}
}
