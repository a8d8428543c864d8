package streamtest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
)

// typical is the n-th packet of a container that asks a database on one of a
// hundred connections: some 110 bytes of payload, half of which nothing can
// compress, and all names that there are.
func typical(n int) *pcapng.Packet {
	p := packet("", n)
	p.Path, p.ConnID, p.Offset = "/run/postgresql/.s.PGSQL.5432", uint64(n%100+1), uint64(n/100*100)
	p.Sender.Comm, p.Peer.Comm, p.Sender.PID = "web-worker", "postgres", uint32(1000+n%100)
	p.Exe, p.Cgroup, p.Container = "/usr/bin/python3.11", fmt.Sprintf("/docker/%064x", n%100), fmt.Sprintf("%064x", n%100)
	token := sha256.Sum256(fmt.Append(nil, n))
	p.Data = fmt.Appendf(nil, "Q\x00\x00\x00\x8bSELECT name, mail FROM users WHERE token = '%s' AND not deleted;\x00", base64.StdEncoding.EncodeToString(token[:]))
	p.Len = uint32(len(p.Data))
	p.MessageLen = p.Len
	return p
}

// BenchmarkPublish is what hosts send to servers, as fast as those take it: how
// many events a second, and how long one is in the stream. "alone" is a message
// for each event, which is what a host at rest has.
func BenchmarkPublish(b *testing.B) {
	for _, servers := range []int{1, 3} {
		for _, hosts := range []int{1, 8} {
			b.Run(fmt.Sprintf("servers=%d/hosts=%d", servers, hosts), func(b *testing.B) { benchPublish(b, servers, hosts) })
		}
	}
	for _, hosts := range []int{1, 64} {
		b.Run(fmt.Sprintf("alone/hosts=%d", hosts), func(b *testing.B) { benchAlone(b, hosts) })
	}
}

func benchPublish(b *testing.B, n, hosts int) {
	a := addressOf(b, servers(b, n, ""), "CAPTURE")
	var all []*stream.Publisher
	for i := range hosts {
		all = append(all, publisher(b, stream.PublishOptions{Address: a, Linger: 200 * time.Millisecond, Held: 1 << 30}, fmt.Sprintf("host-%d", i)))
	}
	b.ResetTimer()
	var writing sync.WaitGroup
	for i, p := range all {
		writing.Go(func() {
			for n := i; n < b.N; n += hosts {
				write(b, p, typical(n))
			}
			closed(b, p)
		})
	}
	writing.Wait()
	report(b, all)
}

func benchAlone(b *testing.B, hosts int) {
	a := addressOf(b, servers(b, 3, ""), "CAPTURE")
	var all []*stream.Publisher
	for i := range hosts {
		all = append(all, publisher(b, stream.PublishOptions{Address: a}, fmt.Sprintf("host-%d", i)))
	}
	b.ResetTimer()
	var writing sync.WaitGroup
	for i, p := range all {
		writing.Go(func() {
			for n, sent := i, uint64(0); n < b.N; n += hosts {
				write(b, p, typical(n))
				for sent++; p.Counts().Stored < sent; {
					time.Sleep(20 * time.Microsecond)
				}
			}
		})
	}
	writing.Wait()
	report(b, all)
}

func report(b *testing.B, all []*stream.Publisher) {
	var sum stream.PublishCounts
	for _, p := range all {
		c := p.Counts()
		sum.Stored, sum.Messages, sum.Bytes, sum.Lost = sum.Stored+c.Stored, sum.Messages+c.Messages, sum.Bytes+c.Bytes, sum.Lost+c.Lost
	}
	if sum.Stored != uint64(b.N) {
		b.Errorf("%+v, want %d stored", sum, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(sum.Bytes)/float64(b.N), "bytes/event")
	b.ReportMetric(float64(sum.Stored)/float64(sum.Messages), "events/message")
}

// BenchmarkRead is what is read of 8 hosts and merged.
func BenchmarkRead(b *testing.B) {
	a := addressOf(b, servers(b, 1, ""), "CAPTURE")
	const hosts = 8
	for i := range hosts {
		p := publisher(b, stream.PublishOptions{Address: a, Linger: 200 * time.Millisecond, Held: 1 << 30}, fmt.Sprintf("host-%d", i))
		for n := i; n < b.N; n += hosts {
			write(b, p, typical(n))
		}
		closed(b, p)
	}
	b.ResetTimer()
	var told notices
	r, all := stored(b, a, &told)
	if len(all) != b.N {
		b.Errorf("%d packets, want %d: %+v, told %+v", len(all), b.N, r.Counts(), told.all)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
