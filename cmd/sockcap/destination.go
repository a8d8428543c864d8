package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// destination is a file that is being written: -w, --output, standard output.
type destination struct {
	*os.File
	name    string
	created bool        // by us, now
	regular bool        // opened by name, so it is ours to cut
	ours    bool        // not standard output: we close it
	ending  atomic.Bool // the end was asked for: nobody waits for a slow reader any more
	unhook  func() bool
	unwatch func() // nil before watch
	written int64  // bytes

	held     []byte // what is written meanwhile, nil: nothing is held back
	overflow bool   // it was more than maxHeld

	patience time.Duration // how long a reader that reads nothing holds up the end
}

// openDestination opens name for writing; "-" is standard output. Nothing of
// an existing file is lost before begin. It waits for a fifo's reader until
// ctx is done.
func openDestination(ctx context.Context, h *host, name string) (*destination, error) {
	d := &destination{name: name, patience: h.patience}
	if isStdout(name) {
		d.File = h.stdout
	} else if err := h.asOwner(func() (err error) {
		d.File, d.created, err = create(ctx, h, name)
		return err
	}); err != nil {
		return nil, err
	} else {
		d.ours = true
	}
	info, err := d.Stat()
	if err != nil {
		return nil, err
	}
	_, inherited := descriptor(name)
	d.regular = info.Mode().IsRegular() && d.ours && !inherited
	d.unhook = context.AfterFunc(ctx, func() {
		d.ending.Store(true)
		d.SetWriteDeadline(time.Now().Add(d.patience))
	})
	return d, nil
}

// isStdout reports whether name stands for standard output.
func isStdout(name string) bool { return name == "-" || name == "/dev/stdout" }

// isTerminal reports whether f is a terminal.
func isTerminal(f *os.File) bool {
	conn, err := f.SyscallConn() // not Fd, which would make a fifo's writes wait for ever
	if err != nil {
		return false
	}
	terminal := false
	err = conn.Control(func(fd uintptr) {
		_, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		terminal = err == nil
	})
	return err == nil && terminal
}

// begin empties the file: from here on it is ours.
func (d *destination) begin() error {
	if !d.regular {
		return nil
	}
	return d.Truncate(0)
}

// watch calls gone when nobody reads the file any more.
func (d *destination) watch(gone func()) error {
	stop, err := whenUnread(d.File, gone)
	d.unwatch = stop
	return err
}

// abandon closes the file and takes it away if it is new: nothing began.
func (d *destination) abandon() {
	if d.created {
		os.Remove(d.name)
	}
	d.close()
}

func (d *destination) close() error {
	d.unhook()
	if d.unwatch != nil {
		d.unwatch()
	}
	if !d.ours {
		return nil
	}
	return d.File.Close()
}

// maxHeld is how many bytes are held back at most.
const maxHeld = 16 << 20

// hold has what is written held back up to release, or until that is too much.
func (d *destination) hold() { d.held, d.overflow = make([]byte, 0, 64<<10), false }

// release writes what was held back.
func (d *destination) release() error {
	held := d.held
	d.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := d.write(held)
	return err
}

// Write writes p, at once or when it is released.
func (d *destination) Write(p []byte) (int, error) {
	switch {
	case d.held == nil:
		return d.write(p)
	case len(d.held)+len(p) <= maxHeld:
		d.held = append(d.held, p...)
		return len(p), nil
	}
	d.overflow = true
	if err := d.release(); err != nil {
		return 0, err
	}
	return d.write(p)
}

// write writes p. Once the end was asked for, a fifo's reader that is stuck
// makes it fail.
func (d *destination) write(p []byte) (int, error) {
	if d.ending.Load() {
		d.SetWriteDeadline(time.Now().Add(d.patience))
	}
	n, err := d.File.Write(p)
	d.written += int64(n)
	return n, err
}

// create opens the file name, made with mode 0600 if there is none, and never
// through a symbolic link. A new file belongs to the user of -Z, or who called
// sudo.
func create(ctx context.Context, h *host, name string) (f *os.File, created bool, err error) {
	const flags = os.O_WRONLY | unix.O_NOFOLLOW | unix.O_NOCTTY
	if n, ok := descriptor(name); ok {
		if err := checkInherited(n, name); err != nil {
			return nil, false, err
		}
		fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, false, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), false, nil
	}
	// O_EXCL first: fs.protected_fifos refuses others' fifos, and
	// fs.protected_regular the sudo user's own file, to an O_CREAT in /tmp.
	f, err = os.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		if err := giveToUser(h, f); err != nil {
			return nil, false, errors.Join(err, f.Close(), os.Remove(name))
		}
		return f, true, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, false, err
	}
	info, err := os.Lstat(name)
	switch {
	case err != nil:
		return nil, false, err
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, false, errSymlink(name)
	case info.Mode()&fs.ModeNamedPipe != 0:
		f, err = openFifo(ctx, name, flags)
	default:
		f, err = os.OpenFile(name, flags, 0)
	}
	if err != nil {
		return nil, false, err
	}
	if err := checkOwner(h, f); err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	return f, false, nil
}

// descriptor is the number in /dev/fd/N, which is what a shell puts in place
// of >(command), and in its other name, /proc/self/fd/N.
func descriptor(name string) (int, bool) {
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		digits, ok := strings.CutPrefix(name, dir)
		n, err := strconv.Atoi(digits)
		if ok && err == nil && strconv.Itoa(n) == digits && n >= 0 {
			return n, true
		}
	}
	return 0, false
}

// checkInherited refuses a descriptor unless whoever started us has left it
// open for us. All others are closed on exec, among them those that we have
// opened ourselves.
func checkInherited(n int, name string) error {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return errNotInherited(name)
	}
	return nil
}

// openFifo opens a fifo, which waits for its reader. When ctx is done before
// one came, we are the reader until the open has returned.
func openFifo(ctx context.Context, name string, flags int) (*os.File, error) {
	opened, helped := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(helped)
		r, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err != nil {
			return
		}
		<-opened
		r.Close()
	})
	f, err := os.OpenFile(name, flags, 0)
	close(opened)
	if !stop() {
		<-helped
	}
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		f.Close()
		return nil, ctx.Err()
	}
	return f, nil
}

// isNull reports whether f is /dev/null.
func isNull(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Mode&syscall.S_IFMT == syscall.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// checkOwner does what fs.protected_regular does for an O_CREAT: in a sticky
// directory, where anyone may have put the file, it must be ours or belong to
// the user who called sudo.
func checkOwner(h *host, f *os.File) error {
	file, err := f.Stat()
	if err != nil {
		return err
	}
	dir, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	user, _, _ := sudoUser(h)
	switch owner := uidOf(file); {
	case !file.Mode().IsRegular(), dir.Mode()&fs.ModeSticky == 0:
		return nil
	case owner == os.Geteuid(), owner == user, owner == uidOf(dir), h.owner != nil && owner == h.owner.uid:
		return nil
	}
	return errForeignFile(f.Name())
}

func uidOf(i fs.FileInfo) int { return int(i.Sys().(*syscall.Stat_t).Uid) }

// asOwner is asCaller, unless a capability is all that lets us make files.
func (h *host) asOwner(open func() error) error {
	if h.overrides {
		return open()
	}
	return asCaller(open)
}

// giveToUser makes f belong to the user of -Z, or who called sudo, if there is
// one.
func giveToUser(h *host, f *os.File) error {
	if os.Geteuid() != 0 {
		return nil // it is ours
	}
	if h.owner != nil {
		return f.Chown(h.owner.uid, h.owner.gid)
	}
	uid, gid, ok := sudoUser(h)
	if !ok {
		return nil
	}
	return f.Chown(uid, gid)
}

// sudoUser is who called sudo: -1 and -1 if we do not run under it as root.
func sudoUser(h *host) (uid, gid int, ok bool) {
	uid, err := strconv.Atoi(h.getenv("SUDO_UID"))
	if err != nil || uid < 0 || os.Geteuid() != 0 {
		return -1, -1, false
	}
	gid, err = strconv.Atoi(h.getenv("SUDO_GID"))
	if err != nil || gid < 0 {
		return -1, -1, false
	}
	return uid, gid, true
}
