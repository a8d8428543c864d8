package capture

import "github.com/sockcap/sockcap/pcapng"

// maxClosed is how many sockets are remembered that are closed at both ends, of
// those that were asked for last, and at most as many more: for words that come
// late. Without it a machine on which many connections come and go would have
// maxSockets of them remembered.
const maxClosed = 4096

// close notes that the close of a socket has been told, after all else of it.
// While its other end is open it is asked for: what happens there names it.
func (t *sockets) close(s, other *socket) {
	s.closed = true
	if s.info.Type == uint8(pcapng.Datagram) || other.info.Socket == 0 {
		t.retire(s)
		return
	}
	if other.closed {
		t.pairs.remove(pairKey(s, other)) // both have their talk
		t.retire(s)
		t.retire(other)
	}
}

func (t *sockets) retire(s *socket) {
	t.byNumber.remove(s.info.Socket)
	t.closed.put(s.info.Socket, s)
}

// each calls f with every socket that is known.
func (t *sockets) each(f func(*socket)) {
	t.byNumber.each(f)
	t.closed.each(f)
}
