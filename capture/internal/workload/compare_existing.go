package workload

import "github.com/sockcap/sockcap/pcapng"

// checkExisting: of each socket that is known to be older than the capture its
// snapshot tells once, before all data, all that there is to know; its
// connection is that of the data. Of no other socket of the case it does.
func (c *comparison) checkExisting(packets []*pcapng.Packet) {
	if len(c.truth.Existing) == 0 {
		return
	}
	told, data := make(map[uint64]*pcapng.Packet), make(map[uint64]bool)
	for _, p := range packets {
		inode := p.Sender.Inode
		switch {
		case p.Event == pcapng.EventData:
			data[inode] = true
		case p.Event != pcapng.EventSnapshot || !c.isOurs(inode):
		case told[inode] != nil:
			c.differ(-1, false, "a second snapshot of socket %d", inode)
		case data[inode]:
			c.differ(-1, false, "the snapshot of socket %d comes behind its data", inode)
		default:
			told[inode] = p
		}
	}
	for i := range c.truth.Existing {
		x := &c.truth.Existing[i]
		if p := told[x.Inode]; p == nil {
			c.differ(-1, false, "no snapshot of socket %d", x.Inode)
		} else {
			c.checkSnapshot(x, p)
		}
		delete(told, x.Inode)
	}
	for inode := range told {
		c.differ(-1, false, "a snapshot of socket %d, which is not older than the capture", inode)
	}
}

// isOurs reports whether a socket is of the case.
func (c *comparison) isOurs(inode uint64) bool {
	for i := range c.truth.Existing {
		if c.truth.Existing[i].Inode == inode {
			return true
		}
	}
	return c.ours[inode]
}

func (c *comparison) checkSnapshot(x *Existing, p *pcapng.Packet) {
	type told struct {
		peer           uint64
		typ            pcapng.SocketType
		state          pcapng.State
		role           pcapng.Role
		path           string
		pid, peerPID   uint32
		comm, peerComm string
		conn, several  bool
	}
	want := told{x.Peer, x.Type, x.State, x.Role, x.Path, x.PID, x.PeerPID, x.Comm, x.PeerComm, x.Conn != 0, false}
	got := told{p.Peer.Inode, p.Type, p.State, p.Role, p.Path, p.Sender.PID, p.Peer.PID, p.Sender.Comm, p.Peer.Comm, p.ConnID != 0, len(p.Holders) > 0}
	if got != want {
		c.differ(-1, false, "snapshot of socket %d: %+v, want %+v", x.Inode, got, want)
	}
	for i := range c.truth.Flows {
		if c.truth.Flows[i].Conn != x.Conn || x.Conn == 0 {
			continue
		}
		for _, d := range c.data[i] {
			if d.ConnID != p.ConnID {
				c.differ(i, false, "%s: connection %d in the snapshot of socket %d", describe(d), p.ConnID, x.Inode)
			}
		}
	}
}
