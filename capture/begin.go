package capture

import (
	"time"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/capture/container"
	"github.com/sockcap/sockcap/capture/filter"
	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// Beginning is what was found of the sockets that are older than the capture.
type Beginning struct {
	Sockets   int             // that there were, kept or not
	Truncated bool            // there were more
	Hidden    snapshot.Hidden // for lack of rights
	NoDiag    error           // why there are but names, no peers: sock_diag can't be asked
	Err       error           // why nothing was found at all
}

// What the kernel side tells is held until the snapshot is there, so that it is
// attributed from the first byte: for so long, and as many bytes, at most. What
// comes later, or is more, goes out with what is known by then.
const (
	holdBegin    = time.Second
	maxHeldBegin = 8 << 20
)

// beginning is the time from the start of a capture to when its snapshot of the
// sockets that are older has been joined with what the kernel side tells.
type beginning struct {
	at    int64 // boot time at which all programs were in place
	found chan *surroundings
	end   chan struct{} // closed: do not go on

	held     [][]byte // records of the kernel side
	size     int      // of them all
	let      bool     // they are held no longer
	arrivals arrivals
}

// surroundings are the sockets of a machine, and the files that the filter
// chooses among them.
type surroundings struct {
	links     []snapshot.Link
	chosen    *snapshot.Files // of Options.Paths
	files     map[*filter.Path]*snapshot.Files
	holders   map[uint32]*process // by pid, with Options.LookAhead
	beginning Beginning
}

// lookAround takes a snapshot, beside the session, unless a family is captured,
// which is new.
func (s *Session) lookAround(take func(snapshot.Options) (*snapshot.Snapshot, error)) {
	if s.options.NoSnapshot || s.options.Family != nil {
		return
	}
	b := &beginning{at: bootTime(), found: make(chan *surroundings, 1), end: make(chan struct{}), arrivals: newArrivals()}
	s.begin, s.looking = b, b
	names, expr, host, ahead := s.paths.names, s.filter.expr, s.options.Host, s.options.LookAhead
	go func() {
		found := surround(take, b.end, names, expr, host)
		if ahead {
			found.lookAhead(b.end, host)
		}
		b.found <- found
		close(b.found)
	}()
}

func surround(take func(snapshot.Options) (*snapshot.Snapshot, error), end <-chan struct{}, names []string, expr *filter.Expr, host *container.Root) *surroundings {
	found, err := take(snapshot.Options{Holders: true, Names: true, MaxSockets: maxSockets, End: end, Host: host})
	a := &surroundings{files: make(map[*filter.Path]*snapshot.Files)}
	if err != nil {
		a.beginning.Err = err
		return a
	}
	a.links = found.Links()
	a.beginning = Beginning{Sockets: len(found.Sockets), Truncated: found.Truncated, Hidden: found.Hidden, NoDiag: found.NoDiag}
	patterns := make([]string, len(names))
	for i, name := range names {
		patterns[i] = snapshot.Literal(name)
	}
	a.chosen = snapshot.FindFiles(host, patterns...)
	expr.EachPath(func(p *filter.Path) { a.files[p] = snapshot.FindFiles(host, p.Glob()) })
	return a
}

// lookAhead looks at all that hold sockets, as far as as many are remembered.
func (a *surroundings) lookAhead(end <-chan struct{}, host *container.Root) {
	a.holders = make(map[uint32]*process)
	names := container.NewNames(host)
	for i := range a.links {
		for _, s := range []*snapshot.Socket{a.links[i].Client, a.links[i].Server} {
			if s == nil {
				continue
			}
			for _, h := range s.Holders {
				select {
				case <-end:
					return
				default:
				}
				pid := h.Process.PID
				if _, ok := a.holders[pid]; !ok && len(a.holders) < maxProcesses {
					a.holders[pid] = lookAt(pid, names)
				}
			}
		}
	}
}

// receive takes a record of the kernel side, or holds it.
func (s *Session) receive(e *bpf.Event, record []byte) error {
	b := s.begin
	if b == nil {
		return s.take(e)
	}
	if !b.let && b.size+len(record) <= maxHeldBegin {
		if e.Kind == bpf.KindSocket {
			b.arrivals.note(e, false)
			if err := s.foresee(&e.Socket); err != nil {
				return err
			}
		}
		b.held = append(b.held, append([]byte(nil), record...))
		b.size += len(record)
		return nil
	}
	if err := s.letGo(); err != nil {
		return err
	}
	b.arrivals.note(e, true)
	return s.take(e)
}

// foresee looks up now what a socket's name leads to, as files come and go, and
// tells the kernel side, while the record of it waits for its turn: what was
// sent before the socket had that name does.
func (s *Session) foresee(info *bpf.Socket) error {
	of := &socket{info: *info, path: snapshot.Address(info.Address[:info.AddressLen])}
	s.paths.keeps(of)
	s.filter.lookUp(of)
	return s.judge(of)
}

// letGo takes what was held.
func (s *Session) letGo() error {
	b := s.begin
	b.let = true
	held := b.held
	b.held, b.size = nil, 0
	var e bpf.Event
	for _, record := range held {
		if err := bpf.Decode(&e, record); err != nil {
			return err
		}
		b.arrivals.note(&e, true)
		if err := s.take(&e); err != nil {
			return err
		}
	}
	return nil
}

// meet joins the snapshot, if it is there by now; all says that it is now or
// never. It is false when the consumer wants no more.
func (s *Session) meet(yield func(*pcapng.Packet, error) bool, all bool) (bool, error) {
	b := s.begin
	if b == nil {
		return true, nil
	}
	found := b.await(all)
	switch {
	case found != nil:
		s.processes.foresee(found.holders)
		if ok, err := s.join(found, yield); !ok || err != nil {
			return ok, err
		}
	case b.let || !all && bootTime() < b.at+int64(holdBegin):
		return true, nil
	}
	err := s.letGo()
	if found != nil {
		s.begin, b.arrivals = nil, arrivals{}
		if s.options.Begun != nil {
			s.options.Begun(found.beginning)
		}
	}
	return true, err
}

// await gives the snapshot if it is there, and if all is wanted waits for it as
// long as records are held.
func (b *beginning) await(all bool) *surroundings {
	var patience <-chan time.Time
	if all && !b.let {
		patience = time.After(time.Duration(b.at + int64(holdBegin) - bootTime()))
	} else {
		done := make(chan time.Time)
		close(done)
		patience = done
	}
	select {
	case found := <-b.found:
		return found
	default:
	}
	select {
	case found := <-b.found:
		return found
	case <-patience:
		return nil
	}
}

// stop ends the snapshot, and waits until it has. It may be called once, from
// any goroutine.
func (b *beginning) stop() {
	if b == nil {
		return
	}
	close(b.end)
	for range b.found {
	}
}

// snapshotLimits says what is not known of older sockets where sock_diag can't
// be asked, for this reason.
func snapshotLimits(err error) []string {
	if err == nil {
		return nil
	}
	return []string{"of sockets that are older than the capture names and holders are known, not peers: " + err.Error()}
}
