package streamtest_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
)

// TestOneHost: what one host writes is read, with what its file would say.
func TestOneHost(t *testing.T) {
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	var told notices
	p := publisher(t, stream.PublishOptions{Address: a, Notify: told.add}, "web-1.example.org")
	for n := range 101 {
		write(t, p, packet("web-1.example.org", n))
	}
	if err := p.WriteStats(pcapng.Stats{Received: 101, Accepted: 101}); err != nil {
		t.Fatal(err)
	}
	counts := closed(t, p)
	if counts.Stored != 101 || counts.Lost != 0 {
		t.Errorf("%+v", counts)
	}
	if made := told.of(stream.NoticeCreated); len(made) != 1 || made[0].Replicas != 1 {
		t.Errorf("told %+v, want that a stream was made with 1 replica", told.all)
	}
	r, all := stored(t, a, nil)
	wholeCaptures(t, r, all, []string{"web-1.example.org"}, 101)
	if got := r.Hosts()[0]; got.Description != "Unix sockets of web-1.example.org (fentry)" || r.Section().OS != "Linux 6.1" {
		t.Errorf("%+v of %+v", got, r.Section())
	}
	if got := r.Counts(); got.Packets != 101 || got.Twice+got.Missing+got.Unreadable+got.Late != 0 {
		t.Errorf("%+v", got)
	}
}

// TestLongSections: what is as long as several messages becomes several, of
// which each knows how many packets came before.
func TestLongSections(t *testing.T) {
	const count = 4099
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	p := publisher(t, stream.PublishOptions{Address: a, Linger: time.Hour}, "a")
	for n := range count {
		write(t, p, packet("a", n))
	}
	if got := closed(t, p); got.Stored != count || got.Messages < 2 {
		t.Errorf("%+v, want several messages", got)
	}
	r, all := stored(t, a, nil)
	wholeCaptures(t, r, all, []string{"a"}, count)
	if got := r.Counts(); got.Missing+got.Unreadable != 0 {
		t.Errorf("%+v", got)
	}
}

// TestManyHosts: 20 hosts at once, and a merged capture in the order of time.
func TestManyHosts(t *testing.T) {
	const count = 401
	c := servers(t, 1, "")
	a := addressOf(t, c, "CAPTURE")
	var hosts []string
	var writing sync.WaitGroup
	for i := range 20 {
		host := fmt.Sprintf("host-%d", i)
		hosts = append(hosts, host)
		p := publisher(t, stream.PublishOptions{Address: a, Linger: 20 * time.Millisecond}, host)
		writing.Go(func() {
			for n := range count {
				write(t, p, packet(host, n))
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	writing.Wait()
	r, all := stored(t, a, nil)
	wholeCaptures(t, r, all, hosts, count)
	ids := make(map[uint64]int) // of connections, by host
	for _, p := range all {
		if host, ok := ids[p.ConnID]; ok && host != p.Host {
			t.Fatalf("connection %d is of hosts %d and %d", p.ConnID, host, p.Host)
		}
		ids[p.ConnID] = p.Host
	}
}

// TestLeaderKilled: the server that leads the stream is killed while hosts
// write, and comes back: nothing is lost, nothing comes twice, also for a reader
// that reads live.
func TestLeaderKilled(t *testing.T) {
	const count = 2003
	c := servers(t, 3, "")
	a := addressOf(t, c, "CAPTURE")
	var told notices
	hosts := []string{"a", "b", "c"}
	var all []*stream.Publisher
	for _, host := range hosts {
		all = append(all, publisher(t, stream.PublishOptions{Address: a, Notify: told.add}, host))
	}
	waitFor(t, "a stream", func() bool { return len(told.of(stream.NoticeCreated)) > 0 })
	if made := told.of(stream.NoticeCreated); made[0].Replicas != 3 {
		t.Fatalf("a stream of %d replicas, want 3", made[0].Replicas)
	}
	live, err := stream.Open(t.Context(), stream.ReadOptions{Address: a, All: true})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()

	var writing sync.WaitGroup
	half := make(chan struct{}, len(hosts))
	goOn := make(chan struct{})
	for i, host := range hosts {
		writing.Go(func() {
			for n := range count {
				write(t, all[i], packet(host, n))
				if n == count/2 {
					half <- struct{}{}
				}
				if n > count/2 && n%100 == 0 {
					<-goOn
				}
			}
		})
	}
	for range hosts {
		<-half
	}
	leader, err := c.Leader(t.Context(), "CAPTURE")
	if err != nil {
		t.Fatal(err)
	}
	c.Kill(leader)
	close(goOn)
	writing.Wait()
	for _, p := range all {
		if got := closed(t, p); got.Stored != count || got.Lost != 0 {
			t.Errorf("%+v", got)
		}
	}
	wholeCaptures(t, live, first(t, live, count*len(hosts)), hosts, count)
	if err := c.Restart(leader); err != nil {
		t.Fatal(err)
	}
	r, stored := stored(t, a, nil)
	wholeCaptures(t, r, stored, hosts, count)
}
