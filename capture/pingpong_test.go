package capture

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// pingPongRole tells a process of this binary that it is one of the two that
// exchange messages: how many, and whether its socket is descriptor 3.
const pingPongRole = "SOCKCAP_PINGPONG"

// pingPongMain makes this process one of the two, if it was started as one.
func pingPongMain() {
	role := os.Getenv(pingPongRole)
	if role == "" {
		return
	}
	if err := keepToOneCore(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if role == "echo" {
		exchangeMessages(3, -1)
		os.Exit(0)
	}
	n, err := strconv.Atoi(role)
	if err == nil {
		err = runPingPong(n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// keepToOneCore keeps the calling goroutine on the first core that it may use: on
// two, a message waits for the other to wake up.
func keepToOneCore() error {
	runtime.LockOSThread()
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return err
	}
	first := 0
	for !may.IsSet(first) {
		first++
	}
	one.Set(first)
	return unix.SchedSetaffinity(0, &one)
}

func runPingPong(n int) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	far := os.NewFile(uintptr(fds[1]), "far")
	echo := exec.Command("/proc/self/exe")
	echo.Env = append(os.Environ(), pingPongRole+"=echo")
	echo.ExtraFiles = []*os.File{far}
	if err := echo.Start(); err != nil {
		return err
	}
	far.Close()
	exchangeMessages(fds[0], sliceMessages) // both are up and warm
	var took []float64
	for range n / sliceMessages {
		begin := time.Now()
		exchangeMessages(fds[0], sliceMessages)
		took = append(took, float64(time.Since(begin).Nanoseconds())/(2*sliceMessages))
	}
	fmt.Println(calm(took))
	unix.Close(fds[0])
	return echo.Wait()
}

// sliceMessages is how many messages go each way between two looks at the clock.
const sliceMessages = 200

// calm is what four of five slices of a measurement take longer than: other load
// on the machine makes a slice slower, and never faster.
func calm(ns []float64) float64 {
	return slices.Sorted(slices.Values(ns))[len(ns)/5]
}

// exchangeMessages sends and receives n messages; -1: receives and sends until
// the other end closes.
func exchangeMessages(fd, n int) {
	var buf [64]byte
	for i := 0; n < 0 || i < n; i++ {
		if n >= 0 {
			unix.Write(fd, buf[:])
		}
		if got, err := unix.Read(fd, buf[:]); got <= 0 || err != nil {
			return
		}
		if n < 0 {
			unix.Write(fd, buf[:])
		}
	}
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}
