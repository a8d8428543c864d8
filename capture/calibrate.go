package capture

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// magicLen is the length of our own datagram: so long that its end lies
	// in pages of its own (SKB_MAX_ALLOC is below 32 KiB), and a multiple of
	// the 16 bytes that it repeats.
	magicLen = 150000
	// spanGiB is how many candidates the program tries at a time.
	spanGiB = 256
	// maxGiB bounds the search: 16 TiB of memory on either side.
	maxGiB = 16384
	// unasked stands in calibrate_hits until the program has looked.
	unasked = ^uint64(0)
	// maxSkipped is how often in all the kernel may skip the program: it does
	// while another one runs on the CPU, or a task was preempted that loads one.
	maxSkipped = 20
)

// calibrate makes the programs find where pages lie in the kernel's linear map,
// and whether streams pass skb_queue_tail, both by sending to ourselves.
func (p *programs) calibrate() error {
	if err := p.probeStream(); err != nil {
		return &Error{Op: "calibrate", Name: "stream", Err: err}
	}
	skips := maxSkipped
	for from := int64(-spanGiB / 2); from < maxGiB; from = nextSpan(from) {
		for {
			if err := p.probePages(from); err != nil {
				return &Error{Op: "calibrate", Name: "pages", Err: err}
			}
			if p.variable("calibrate_hits") != unasked || skips == 0 {
				break
			}
			skips--
		}
		if p.variable("page_base") != 0 {
			return p.setMagic([2]uint64{}, 0)
		}
	}
	return &Error{
		Op: "calibrate", Name: "pages",
		Err: fmt.Errorf("no linear map within %d GiB (hits %d) pages %d counters %v", maxGiB, p.variable("calibrate_hits"), p.variable("calibrate_pages"), p.counters()),
	}
}

// nextSpan goes outward from the middle: -128, 128, -384, 384, ...
func nextSpan(from int64) int64 {
	if from < 0 {
		return -from
	}
	return -from - spanGiB
}

func (p *programs) setMagic(magic [2]uint64, from int64) error {
	if err := p.coll.Variables["calibrate_from"].Set(uint64(from)); err != nil {
		return err
	}
	return p.coll.Variables["calibrate_magic"].Set(magic)
}

// probePages sends one datagram that repeats 16 new random bytes.
func (p *programs) probePages(from int64) error {
	var magic [16]byte
	rand.Read(magic[:])
	if err := p.setMagic([2]uint64{
		binary.LittleEndian.Uint64(magic[:]), binary.LittleEndian.Uint64(magic[8:]),
	}, from); err != nil {
		return err
	}
	if err := p.coll.Variables["calibrate_hits"].Set(unasked); err != nil {
		return err
	}
	buf := make([]byte, magicLen)
	for i := range buf {
		buf[i] = magic[i%len(magic)]
	}
	return exchange(unix.SOCK_DGRAM, buf)
}

// probeStream learns whether our own byte is queued by skb_queue_tail.
func (p *programs) probeStream() error {
	if p.set == hooksTracepoint {
		return nil
	}
	if err := p.setMagic([2]uint64{1, 1}, 0); err != nil {
		return err
	}
	if err := exchange(unix.SOCK_STREAM, []byte{0}); err != nil {
		return err
	}
	var queued bool
	if err := p.coll.Variables["stream_queued"].Get(&queued); err != nil {
		return err
	}
	return p.coll.Variables["inline_queue"].Set(!queued)
}

// exchange sends buf through a pair of sockets of our own and reads it.
func exchange(kind int, buf []byte) error {
	fd, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd[0])
	defer unix.Close(fd[1])
	if err := unix.SetsockoptInt(fd[0], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4*magicLen); err != nil {
		if err := unix.SetsockoptInt(fd[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4*magicLen); err != nil {
			return err
		}
	}
	if _, err := unix.Write(fd[0], buf); err != nil {
		return err
	}
	_, err = unix.Read(fd[1], buf)
	return err
}
