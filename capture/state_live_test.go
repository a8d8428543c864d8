package capture

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture/internal/workload"
	"github.com/sockcap/sockcap/pcapng"
)

// stateInodeAt is one more place in struct socket_state.
const stateInodeAt = 8

// TestStateLate: of what is sent while another CPU, which here never gets on with it,
// is to begin the socket's state, each packet is captured or counted once; once there
// is a state nothing is missing.
func TestStateLate(t *testing.T) {
	const pairs = 64
	eachSet(t, func(t *testing.T, set string) {
		p := newPuppet(t, workload.PuppetConfig{Comm: "late"})
		l := startBlind(t, Options{Hooks: set, NoSnapshot: true}, nil)
		var ends [pairs][2]workload.End
		open := func() {
			for i := range ends {
				ends[i][0], ends[i][1] = p.pair(unix.SOCK_STREAM)
			}
		}
		pass := func(data string) {
			for _, e := range ends {
				p.pass(e[0], e[1], data)
			}
		}
		captured := func(all []*pcapng.Packet, data string) int {
			return len(kept(all, func(p *pcapng.Packet) bool { return string(p.Data) == data }))
		}
		await := func(data string) {
			pass(data)
			l.wait(data, func(all []*pcapng.Packet) bool { return captured(all, data) == pairs })
		}

		open()
		await("before")
		free := claimStates(t, l.s, ends[:])
		for _, e := range ends {
			p.must(p.CloseFD(e[0]))
			p.must(p.CloseFD(e[1]))
		}
		open() // at the same addresses, as good as always
		pass("meanwhile")
		free()
		await("after")

		all, stats := l.end()
		got := captured(all, "meanwhile")
		if stats.LostBytes != 0 || stats.LostMap == 0 || uint64(got)+stats.LostMap != pairs || stats.Dropped() != stats.LostMap {
			t.Errorf("%d packets: %d captured, %+v%s", pairs, got, stats, showAll(kept(all, func(p *pcapng.Packet) bool { return p.Lost > 0 })))
		}
	})
}

// claimStates claims what is to follow the states of sockets (claim_of in
// bpf/socket.h), until the function that it returns is called.
func claimStates(t *testing.T, s *Session, ends [][2]workload.End) (free func()) {
	t.Helper()
	ours := make(map[uint64]bool)
	for _, e := range ends {
		ours[e[0].Inode], ours[e[1].Inode] = true, true
	}
	claims := s.progs.coll.Maps["claims"]
	var made []uint64
	var socket uint64
	var state [stateSize]byte
	each := s.progs.coll.Maps["sockets"].Iterate()
	for each.Next(&socket, &state) {
		number := binary.NativeEndian.Uint64(state[stateNumberAt:])
		if !ours[binary.NativeEndian.Uint64(state[stateInodeAt:])] {
			continue
		}
		claim := socket ^ number*0x9e3779b97f4a7c15
		if err := claims.Put(claim, claim); err != nil {
			t.Fatal(err)
		}
		made = append(made, claim)
	}
	if err := each.Err(); err != nil || len(made) != len(ours) {
		t.Fatalf("claimed %d of %d sockets: %v", len(made), len(ours), err)
	}
	return func() {
		for _, claim := range made {
			if err := claims.Delete(claim); err != nil {
				t.Error(err)
			}
		}
	}
}
