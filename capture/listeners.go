package capture

// listenAddress is what a socket listens at.
type listenAddress struct {
	path   string
	device uint32
	file   uint64
	netns  uint32 // of a name without a file
}

// at is what a socket listens at, or the listener that it was accepted from.
func (s *socket) at() listenAddress {
	at := listenAddress{path: s.path, device: s.info.Device, file: s.info.File}
	if at.file == 0 {
		at.netns = s.info.Netns
	}
	return at
}

// listens notes who has called listen on a socket: that is whom its clients have
// for a peer until one of its connections is used at the other end. He may have
// ended by then, as who starts servers does, and his pid be another's.
func (t *sockets) listens(s *socket) {
	if s.path != "" && s.user.number != 0 {
		t.listeners.put(s.at(), s.user)
	}
}

// listener gives who, with a pid, has called listen where a socket was accepted,
// or waits for it; none if that was before the capture.
func (t *sockets) listener(s *socket, pid uint32) (by processKey, ok bool) {
	if s.path != "" {
		by, ok = t.listeners.get(s.at())
	}
	return by, ok && by.pid == pid
}
