package capture

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// memberRole tells a process of this binary which descendant it is in the
// tests of a family, and where the server is.
const memberRole = "SOCKCAP_MEMBER"

// memberMain makes this process a member, if it was started as one.
func memberMain() {
	text, ok := os.LookupEnv(memberRole)
	if !ok {
		return
	}
	role, path, _ := strings.Cut(text, " ")
	if err := member(role, path); err != nil {
		fmt.Fprintln(os.Stderr, text+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// member plays a role.
func member(role, path string) error {
	switch role {
	case "child":
		return say(path, role)
	case "thread":
		return inThread(func() error { return say(path, role) })
	case "exec":
		return syscall.Exec("/proc/self/exe", []string{"exec"}, roleEnv("as:exec "+path))
	case "grandchild":
		pid, err := descend("as:grandchild " + path)
		if err != nil {
			return err
		}
		_, err = unix.Wait4(pid, nil, 0, nil)
		return err
	case "orphan":
		_, err := descend(fmt.Sprintf("orphan:%d %s", os.Getpid(), path))
		return err
	case "fork":
		return forkAndSay(3, role)
	case "inherits":
		return serveInherited(3, 4)
	case "answers":
		return answer(3)
	}
	if done, err := postman(role, path); done {
		return err
	}
	if name, ok := strings.CutPrefix(role, "as:"); ok {
		return say(path, name)
	}
	var parent int
	if _, err := fmt.Sscanf(role, "orphan:%d", &parent); err != nil {
		return errors.New("no such role")
	}
	for os.Getppid() == parent { // nothing tells of it
		runtime.Gosched()
	}
	return say(path, "orphan")
}

// answer reads a message from a descriptor and answers it.
func answer(fd int) error {
	p := make([]byte, 100)
	if _, err := unix.Read(fd, p); err != nil {
		return err
	}
	_, err := unix.Write(fd, []byte("answer"))
	return err
}

// roleEnv is the environment for another role.
func roleEnv(role string) []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, memberRole+"=") })
	return append(env, memberRole+"="+role)
}

// descend starts a child; Go does it as vfork and posix_spawn do. It is in a
// session of its own, as daemons are.
func descend(role string) (pid int, err error) {
	return syscall.ForkExec("/proc/self/exe", []string{"child"}, &syscall.ProcAttr{
		Env: roleEnv(role), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
}

// inThread runs f in a thread that is not the first.
func inThread(f func() error) error {
	runtime.LockOSThread()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// say connects to path, sends text and waits for the answer.
func say(path, text string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return err
	}
	return expect(fd, "ok: "+text)
}

// expect reads exactly want.
func expect(fd int, want string) error {
	buf := make([]byte, len(want))
	for got := 0; got < len(buf); {
		n, err := unix.Read(fd, buf[got:])
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("read %q and the end, want %q", buf[:got], want)
		}
		got += n
	}
	if string(buf) != want {
		return fmt.Errorf("read %q, want %q", buf, want)
	}
	return nil
}

// forkAndSay sends text from a child that was forked and runs no program.
func forkAndSay(fd uintptr, text string) error {
	pid, err := forkBrief(&brief{fd: fd, text: []byte(text)})
	if err != nil {
		return err
	}
	_, err = unix.Wait4(pid, nil, 0, nil)
	return err
}

// serveInherited waits at one inherited socket until it is told to accept at
// another, and answers there.
func serveInherited(fd, listener int) error {
	if _, err := unix.Write(fd, []byte("ready")); err != nil {
		return err
	}
	if err := expect(fd, "accept"); err != nil {
		return err
	}
	conn, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return err
	}
	if err := expect(conn, "early"); err != nil {
		return err
	}
	if _, err := unix.Write(conn, []byte("ok: early")); err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte("accepted"))
	return err
}
