package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/capture/container"
)

// rights are what a capture goes on with once it has begun: it has attached its
// programs, and opened its files, with all that it was given.
//
// Root becomes the user of -Z, or who called sudo, or else nobody, if it may;
// but where files are yet to come that are to be root's (-C, -G) it stays root,
// without capabilities. Some are kept, see capture.Kept, and with a command KILL, to
// hand signals on to it; where files are to come in a directory in which that
// user may make none, DAC_OVERRIDE. Nothing that is run from then on, as by -z,
// can get rights back (no_new_privs), nor has it these.
//
// Once the sockets that are older than the capture are known, Landlock closes
// all files to writing but those of the directory where files are to come, and
// the network, but where that is what is written to; unless -z runs commands,
// which have their own to do. It also takes the sight of other processes'
// programs, so those are looked at before. With it goes what is of no use any
// more of the system calls, see forbidCalls.
type rights struct {
	who     *account // to become; nil: who we are
	toEnd   capabilities
	atFirst capabilities // besides
	dir     string       // where files are to come; empty: there are none
	confine bool         // by Landlock and seccomp
	network bool         // which leave the network open
}

// nobody is nfsnobody in places; the number is the same.
const nobody = 65534

// capturingAs is whose the files of a capture are, and who it goes on as: nil if
// that is who we are. All says that it keeps everything: -Z root.
func (h *host) capturingAs(f *flags) (who *account, all bool, err error) {
	if len(f.command) > 0 || f.user == "" {
		who, err = h.commandUser("")
		return who, false, err
	}
	who, err = h.commandUser(f.user)
	return who, err == nil && who != nil && who.uid == 0, err
}

// owning is h for a capture whose files are another user's than who called sudo.
func (h *host) owning(f *flags) (*host, error) {
	who, _, err := h.capturingAs(f)
	if err != nil || f.user == "" || len(f.command) > 0 {
		return h, err
	}
	with := *h
	with.owner = who
	return &with, nil
}

// readAs becomes the user of -Z, for all that follows the opening of the files
// that are read.
func (h *host) readAs(name string) error {
	if name == "" {
		return nil
	}
	who, err := h.commandUser(name)
	if err != nil || !h.relinquish {
		return err
	}
	return takeUser(who.String())
}

// rightsFor settles what a capture goes on with; nil is all that we have.
func (h *host) rightsFor(f *flags) (*rights, error) {
	who, all, err := h.capturingAs(f)
	if err != nil || all || !h.relinquish {
		return nil, err
	}
	r := &rights{who: who, confine: f.rotation.command == "", network: f.stream != nil}
	toEnd, atFirst := capture.Kept()
	r.toEnd, r.atFirst = capabilities(toEnd), capabilities(atFirst)
	if len(f.command) > 0 {
		r.toEnd |= 1 << unix.CAP_KILL
	}
	if f.rotation.on() {
		r.dir = steady(f.write)
	}
	if who == nil && os.Geteuid() == 0 && r.dir == "" {
		r.who = &account{uid: nobody, gid: nobody}
	}
	if f.user == "" && !effective().has(unix.CAP_SETUID, unix.CAP_SETGID) {
		r.who = nil // as in a container that has no more than a capture needs
	}
	return r, nil
}

// steady is the directory that all files of a rotation are in: of a name that
// -G makes a time of, what stands before that.
func steady(name string) string {
	dir := filepath.Dir(name)
	for strings.Contains(dir, "%") {
		dir = filepath.Dir(dir)
	}
	return dir
}

// relinquish gives up all but these rights, those aside that are needed at
// first.
func (r *rights) relinquish(h *host) error {
	if r == nil {
		return nil
	}
	keep := r.toEnd | r.atFirst
	if r.dir != "" {
		keep |= 1 << unix.CAP_DAC_OVERRIDE
	}
	if err := boundAll(); err != nil {
		return err
	}
	if err := r.who.become(); err != nil {
		return err
	}
	if err := errors.Join(keep.set(), gainNothing()); err != nil {
		return err
	}
	if r.dir == "" {
		return nil
	}
	may, err := mayMake(r.dir)
	switch {
	case err != nil:
		return err
	case may:
		return (r.toEnd | r.atFirst).set()
	}
	r.toEnd |= 1 << unix.CAP_DAC_OVERRIDE
	h.overrides = effective().has(unix.CAP_DAC_OVERRIDE)
	return nil
}

// rest gives up what was needed at first, and confines this process. It goes on
// reading the host's files, where it has others itself.
func (r *rights) rest(host *container.Root) error {
	if r == nil {
		return nil
	}
	if err := r.toEnd.set(); err != nil || !r.confine {
		return err
	}
	rules := []landlock.Rule{landlock.RODirs("/", host.Name())}
	if r.dir != "" {
		rules = append(rules, landlock.RWDirs(r.dir))
	}
	restrict := landlock.V5.BestEffort().Restrict
	if r.network {
		restrict = landlock.V5.BestEffort().RestrictPaths
	}
	if err := restrict(rules...); err != nil {
		return err
	}
	return forbidCalls(r.network)
}

// become makes this process another user's, who keeps the capabilities that we
// have; nil changes nothing.
func (a *account) become() error {
	if a == nil || a.uid == os.Geteuid() {
		return nil
	}
	// They stay in effect throughout, for what looks around meanwhile; who may
	// not have that, has them back with the next set.
	const noSetuidFixup = 1 << 2 // SECBIT_NO_SETUID_FIXUP of linux/securebits.h
	if allThreads(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, noSetuidFixup) != nil {
		if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1); err != nil {
			return os.NewSyscallError("prctl", err)
		}
	}
	return os.NewSyscallError("setresuid", takeUser(a.String()))
}
