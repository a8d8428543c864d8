package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// rotation is when a capture file ends and the next one begins, as tcpdump has
// it. The zero value is a single file.
type rotation struct {
	size    int64  // -C, in bytes; 0: any
	seconds int64  // -G; 0: any
	count   int    // -W; 0: no limit
	command string // -z; empty: none
}

func (r *rotation) on() bool { return r.size > 0 || r.seconds > 0 }

// limits end a capture, as dumpcap's -a does.
type limits struct {
	duration time.Duration // 0: none
	fileSize int64         // in bytes, of one file; 0: any
}

// rawRotation holds the flags of rotation and limits as they are parsed.
type rawRotation struct {
	size, command string
	seconds       int64
	count         int
	stop          []string
}

func (r *rawRotation) define(s *pflag.FlagSet) {
	s.StringVarP(&r.size, "C", "C", "", "")
	s.Int64VarP(&r.seconds, "G", "G", 0, "")
	s.IntVarP(&r.count, "W", "W", 0, "")
	s.StringVarP(&r.command, "z", "z", "", "")
	s.StringArrayVarP(&r.stop, "autostop", "a", nil, "")
}

// setRotation comes after setOutput and setInput, which it adds to.
func (r *raw) setRotation(s *pflag.FlagSet, f *flags) error {
	given := &r.rotation
	size, ok := parseFileSize(given.size)
	switch {
	case s.Changed("C") && !ok:
		return wrongChoice("-C", given.size, "millions of bytes, or a number with k, m or g")
	case s.Changed("G") && (given.seconds < 1 || given.seconds > math.MaxInt32):
		return outOfRange("-G", given.seconds, 1, int64(math.MaxInt32))
	case s.Changed("W") && (given.count < 1 || given.count > math.MaxInt32):
		return outOfRange("-W", given.count, 1, math.MaxInt32)
	case s.Changed("z") && given.command == "":
		return usage("-z needs the name of a command")
	}
	f.rotation = rotation{size: size, seconds: given.seconds, count: given.count, command: given.command}
	for _, letter := range []string{"C", "G"} {
		if s.Changed(letter) && f.write == "" {
			return usage("-%s is about the file after -w, and there is no -w", letter)
		}
	}
	for _, letter := range []string{"W", "z"} {
		if s.Changed(letter) && !f.rotation.on() {
			return usage("-%s is about the files of -C or -G, and there is neither", letter)
		}
	}
	if f.rotation.on() && isStdout(f.write) {
		return errOneFile(f.write)
	}
	return f.setLimits(given.stop)
}

// parseFileSize reads -C: millions of bytes, or KiB, MiB or GiB.
func parseFileSize(text string) (bytes int64, ok bool) {
	unit := int64(1_000_000)
	if n := len(text); n > 0 {
		switch text[n-1] {
		case 'k', 'K':
			unit, text = 1<<10, text[:n-1]
		case 'm', 'M':
			unit, text = 1<<20, text[:n-1]
		case 'g', 'G':
			unit, text = 1<<30, text[:n-1]
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

// setLimits reads each -a.
func (f *flags) setLimits(all []string) error {
	for _, text := range all {
		what, value, _ := strings.Cut(text, ":")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case what == "duration":
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil || !(seconds > 0 && seconds <= math.MaxInt32) {
				return wrongChoice("-a", text, fmt.Sprintf("duration: and up to %d seconds after it", math.MaxInt32))
			}
			f.limits.duration = max(time.Duration(seconds*float64(time.Second)), 1) // 0 would be no end
		case what == "filesize" && err == nil && n > 0 && n <= math.MaxInt64/1000:
			if f.write == "" {
				return usage("-a %s is about the file after -w, and there is no -w", text)
			}
			f.limits.fileSize = n * 1000
		case what == "packets" && err == nil && n > 0:
			if f.count == 0 || uint64(n) < f.count {
				f.count = uint64(n)
			}
		default:
			return wrongChoice("-a", text, "duration:SECONDS, filesize:KB or packets:COUNT")
		}
	}
	return nil
}

// fileNames makes the names of a rotation's files, in tcpdump's way.
type fileNames struct {
	rotation
	name   string // after -w
	zone   *time.Location
	began  time.Time // of the files with this time in their names
	number int       // of files that grew too large since then
	times  int       // that -G ended one
}

// current is the name of the file to write.
func (n *fileNames) current() string {
	name := n.name
	if n.seconds > 0 {
		name = string(appendTime(nil, name, n.began.In(n.zone)))
	}
	width := 0
	if n.size > 0 {
		for most := n.count - 1; most > 0; most /= 10 {
			width++
		}
	}
	if n.number == 0 && width == 0 {
		return name
	}
	return fmt.Sprintf("%s%0*d", name, width, n.number)
}

// next is what a packet at this time does to a file of this size: whether the
// next file begins, or all files there may be are written.
func (n *fileNames) next(at time.Time, size int64) (rotate, enough bool) {
	switch {
	case n.seconds > 0 && at.Unix()-n.began.Unix() >= n.seconds: // whole seconds, as time(2) has them
		n.began, n.number = at, 0
		n.times++
		return true, n.size == 0 && n.count > 0 && n.times >= n.count
	case n.size > 0 && size > n.size:
		n.number++
		if n.count > 0 && n.number >= n.count {
			n.number = 0
		}
		return true, false
	}
	return false, false
}

// overwrites reports whether -G gives some file the name of the one before it:
// without a time in the name, with one that is coarser than -G, or with one that
// has come round by then. As in tcpdump that is allowed.
func (n *fileNames) overwrites(l *limits) bool {
	period := time.Duration(n.seconds) * time.Second
	if period == 0 || n.size == 0 && n.count == 1 || l.duration > 0 && l.duration <= period {
		return false // there is no file after the first
	}
	const tried = 61 // so that minutes are found to be too coarse for 59 seconds
	name := func(i int) string {
		return string(appendTime(nil, n.name, n.began.Add(time.Duration(i)*period).In(n.zone)))
	}
	for i := range tried {
		if name(i) == name(i+1) {
			return true
		}
	}
	return false
}

// runAfter starts the command of -z on a finished file, and does not wait for
// it. It has the lowest priority, and a process group of its own, so that the
// Ctrl-C that ends a capture does not end it too.
func (h *host) runAfter(command, file string) {
	if strings.HasPrefix(file, "-") {
		file = "./" + file // no option
	}
	c := exec.Command(command, file)
	c.Stdout, c.Stderr = h.stdout, h.stderr
	if l, ok := h.stderr.(*statusLine); ok {
		c.Stderr = l.terminal // itself, which outlives us
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		h.sayAfterFailed(command, file, err)
		return
	}
	unix.Setpriority(unix.PRIO_PROCESS, c.Process.Pid, 19) // or not: it has been told to go
	go func() {
		if err := c.Wait(); err != nil {
			h.sayAfterFailed(command, file, err)
		}
	}()
}

// checkRotation refuses what cannot be rotated, before anything is opened: a
// fifo would wait for its reader.
func checkRotation(r rotation, name string) error {
	if !r.on() {
		return nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return errOneFile(name)
	}
	if _, inherited := descriptor(name); inherited {
		return errOneFile(name)
	}
	if r.command == "" {
		return nil
	}
	if _, err := exec.LookPath(r.command); err != nil {
		return fmt.Errorf("-z %s: %w", quoteName(r.command), unwrapExec(err))
	}
	return nil
}

// unwrapExec leaves out what exec says of the name, which we have said.
func unwrapExec(err error) error {
	if e, ok := err.(*exec.Error); ok {
		return e.Err
	}
	return err
}
