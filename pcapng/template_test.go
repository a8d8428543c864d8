package pcapng

import (
	"strings"
	"testing"
	"time"
)

// TestTemplate: what differs from one packet of a direction to the next is
// written anew, whatever the length of the payload; the rest is copied.
func TestTemplate(t *testing.T) {
	for _, first := range []func() *Packet{typical, identified} {
		var r recent
		p := first()
		checkNames(t, &r, p)
		for size := range 9 {
			p.Data = []byte(strings.Repeat("x", size))
			p.Len, p.MessageLen = uint32(size), uint32(size)+p.MessageLen<<8
			p.Offset, p.Message, p.Time = p.Offset<<7+1, p.Message<<7+1, p.Time.Add(time.Minute+time.Nanosecond)
			if p.Latency > 0 {
				p.Latency = p.Latency<<3 + 1
			}
			if w := r.of(p); !w.block.fits(p, noTime) {
				t.Errorf("a packet of %d bytes is made from nothing", size)
			}
			checkNames(t, &r, p)
		}
	}
}

// TestTemplateBound: a header that may have to be cut is never copied.
func TestTemplateBound(t *testing.T) {
	for _, c := range []struct {
		reader int // bytes of a name
		fits   bool
	}{{maxTemplate - 400, true}, {maxTemplate, false}} {
		var r recent
		p := identified()
		p.Reader.Comm = strings.Repeat("x", c.reader)
		checkNames(t, &r, p)
		if fits := r.of(p).block.fits(p, noTime); fits != c.fits {
			t.Errorf("reader's name of %d bytes: copied %v", c.reader, fits)
		}
		p.Data = make([]byte, MaxPayload)
		p.Len = MaxPayload
		checkNames(t, &r, p)
	}
}

// TestTemplatePlain: what few packets have is not made from a packet that lacks
// it.
func TestTemplatePlain(t *testing.T) {
	for _, add := range []func(*Packet){
		func(p *Packet) { p.OwnTime = epoch },
		func(p *Packet) { p.Cred = &Cred{PID: 1} },
		func(p *Packet) { p.FDs = []FD{{Num: 3}} },
		func(p *Packet) { p.Holders = []Holder{{PID: 4}} },
		func(p *Packet) { p.Role = RoleServer },
	} {
		var r recent
		p := identified()
		checkNames(t, &r, p)
		w := r.of(p)
		add(p)
		if w.block.fits(p, ownTime(p)) {
			t.Errorf("%+v is copied from one without", p)
		}
		checkNames(t, &r, p)
	}
}
