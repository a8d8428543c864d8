package capture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Verdict is what a Check came to.
type Verdict uint8

// The verdicts.
const (
	Unknown Verdict = iota // can't be told, or was not tried
	Fine
	Refused
)

// Check is what was found of one thing that a capture needs, or is better with.
type Check struct {
	Name    string  // "capabilities", "tracefs"...; of a hook set "hooks " and its name. It never changes
	Verdict Verdict // whether it is there
	Found   string  // what there is, one clause; may hold hostile text, as the next may
	Cause   string  // why it is refused, and what is lost by that
	Cure    string  // empty: none is known
}

// Probe makes another process send text to a datagram socket that is bound to
// address, an abstract one (@name), and read it there, before it returns; it is
// called again, never twice at once, as long as that is not seen. The capture
// leaves out what this process sends itself.
type Probe func(ctx context.Context, address, text string) error

// Examine finds out what this kernel, container and user allow, by trying it
// rather than by the kernel's version; most of all, whether each hook set
// captures what probe sends: if none does there is no capture here. It takes
// about a second a set. Where tracefs is not mounted it mounts it, and it raises
// RLIMIT_MEMLOCK where the kernel heeds that, as a capture does.
func Examine(ctx context.Context, probe Probe) []Check {
	all := []Check{checkCapabilities(), checkUserNamespace(), checkPIDs(), checkLockdown(), checkTypes()}
	rights := all[0].Verdict != Refused && all[1].Verdict != Refused
	for _, check := range []func() Check{
		checkSymbols, checkMemlock, checkRing, checkTracefs, checkTracepoints, checkRawTracepoints, checkIterator,
	} {
		c := check()
		if !rights && c.Verdict == Refused {
			c = Check{Name: c.Name, Found: "refused for what is said above, so not told"}
		}
		all = append(all, c)
	}
	all = append(all, checkProcesses()...)
	allowed := true // by what concerns all sets, so that none need be tried
	for _, c := range all {
		switch c.Name {
		case "capabilities", "user namespace", "pid namespace", "kernel types", "kernel symbols":
			allowed = allowed && c.Verdict != Refused
		}
	}
	for _, set := range hookSets() {
		all = append(all, checkSet(ctx, set, allowed, probe))
	}
	return all
}

// checkSet captures with one hook set.
func checkSet(ctx context.Context, set string, allowed bool, probe Probe) Check {
	c := Check{Name: "hooks " + set}
	if !allowed {
		c.Found = "not tried: see above"
		return c
	}
	err := prove(ctx, set, probe)
	if err == nil {
		c.Verdict, c.Found = Fine, "captured the message that it sent"
		return c
	}
	c.Verdict, c.Found, c.Cause = Refused, "can't be used", err.Error()
	var e *Error
	if errors.As(err, &e) {
		c.Cure = e.Hint
		if e.Name == set {
			c.Cause = e.Err.Error()
		}
	}
	c.Cause, _, _ = strings.Cut(c.Cause, "\n") // the first of many hooks will do
	var r *reason
	if errors.As(err, &r) && !isParanoid(err) {
		c.Cure = "none is needed where another set works; sockcap takes that by itself"
	}
	return c
}

// How long what was sent may take until it is captured, which can only fail; and
// after which time it is sent again, for a busy machine may lose it, as it loses
// other messages.
const (
	provePatience = 30 * time.Second
	proveAgain    = time.Second
)

// prove captures one message that probe sends, with a hook set. It is read from
// the beginning: of sockets that others use the kernel side learns from what
// reads whether they are wanted, and until then it hands over what they say.
func prove(ctx context.Context, set string, probe Probe) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	text := fmt.Sprintf("sockcap-doctor-%x", rand.Uint64())
	address := "@" + text
	s, err := Start(ctx, Options{Hooks: set, Paths: []string{address}, BufferSize: minBuffer, NoSnapshot: true})
	if err != nil {
		return err
	}
	defer s.Close()
	timer := time.AfterFunc(provePatience, cancel)
	defer timer.Stop()
	seen := make(chan error, 1)
	go func() { seen <- s.see(address, text) }()
	for {
		if err := probe(ctx, address, text); err != nil && ctx.Err() == nil {
			cancel()
			<-seen
			return &Error{Op: "send", Name: "a message", Err: err}
		}
		select {
		case err := <-seen:
			return err
		case <-time.After(proveAgain):
		}
	}
}

// see reads packets until there is this one.
func (s *Session) see(address, text string) error {
	for p, err := range s.Packets() {
		if err != nil {
			return err
		}
		if p.Path == address && string(p.Data) == text {
			return nil
		}
	}
	return errUnseen
}

var errUnseen = errors.New("it is attached, but what was sent was not captured")
