package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// holdName is what a process of this program is called that waits to become a
// command; nobody calls sockcap so.
const holdName = "(sockcap: command to begin)"

// The statuses of shells for commands that do not run.
const (
	statusNotRunnable = 126
	statusNotFound    = 127
)

// hold is the process that becomes a command: it takes the command's user,
// finds the command, says that it is there, and waits. It returns only if it
// does not become the command. Its arguments are two descriptors, where a byte
// lets it go on and where it reports, the user, and the command's own.
//
// A report is a byte, 0 while all is well, else the exit status, and then why.
func hold(args []string) int {
	if len(args) < 4 {
		return 1
	}
	gate, report := inheritedFile(args[0]), inheritedFile(args[1])
	if gate == nil || report == nil {
		return 1
	}
	path, err := prepare(args[2], args[3])
	if err == nil {
		if _, err = report.Write([]byte{0}); err != nil {
			return 1
		}
		if _, err := io.ReadFull(gate, make([]byte, 1)); err != nil {
			return 1 // nobody wants it any more
		}
		err = become(path, args[3:])
	}
	status := statusNotRunnable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status = statusNotFound
	}
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		err = file.Err // the name is known
	}
	fmt.Fprintf(report, "%c%v", rune(status), err)
	return status
}

// inheritedFile is a descriptor that the command does not get.
func inheritedFile(number string) *os.File {
	fd, err := strconv.Atoi(number)
	if err != nil {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "pipe")
}

// prepare takes the user and finds the command as that user may.
func prepare(who, name string) (path string, err error) {
	if err := takeUser(who); err != nil {
		return "", err
	}
	path, err = exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) { // PATH may name the working directory
		return "", unwrapExec(err)
	}
	return path, nil
}

// become runs the command in place of this process. A script without #! is
// the shell's, as for execvp(3).
func become(path string, words []string) error {
	err := syscall.Exec(path, words, os.Environ())
	if errors.Is(err, syscall.ENOEXEC) && isScript(path) {
		err = syscall.Exec("/bin/sh", append([]string{"sh", path}, words[1:]...), os.Environ())
	}
	return err
}

// isScript tells a script from a program for another machine, as shells do: its
// first line has no NUL.
func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(f, head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	return !strings.Contains(line, "\x00")
}
