package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sockcap/sockcap/pcapng"
	rawip "github.com/sockcap/sockcap/pcapng/raw"
)

// maxDelay is how long a packet may stay in a buffer: with the window in which
// package capture orders packets, less than 100 ms from the send to here.
const maxDelay = 20 * time.Millisecond

// output is where packets go: a capture file, text, or both. Its methods may
// be called from any goroutine between begin and close.
type output struct {
	mu     sync.Mutex
	file   *destination  // -w, or nil
	stream *streamWriter // -w, if that is a stream, or nil
	text   *destination  // or nil
	link   int           // type of file
	writer packetWriter  // to file
	blocks *wholeBlocks  // between them, nil if file is compressed
	zip    compressor    // between them, nil if file is not compressed
	unsure unsure        // data packets that may not be in file yet
	lines  *bufio.Writer // to text
	pr     *printer
	line   []byte

	atOnce  bool        // flush after each packet
	pending bool        // there may be something to flush, and late is running
	late    *time.Timer // flushes; nil when nobody waits for what is written
	lateZip *time.Timer // flushes zip; nil where late is
	waiting bool        // lateZip is running
	err     error       // of a late flush; writing is over
	failed  func()      // called on that error

	ctx     context.Context // for the files to come
	h       *host
	names   fileNames // of the capture files
	limits  limits
	meta    pcapng.Options                 // of each of them
	hosts   []pcapng.Interface             // that each of them has beside the first
	stats   func() pcapng.Stats            // that come at the end of each, or nil
	echo    *echo                          // knows what was written, nil: nobody asks
	clock   func(*pcapng.Packet) time.Time // the time that -G goes by
	left    rawip.LeftOut                  // of the files that are ended
	reading []*os.File                     // that must not be written
	missing uint64                         // data packets that are not in the file where writing failed; of a compressed one, at most
}

// packetWriter writes packets to a capture file: as records, a *pcapng.Writer,
// or as IP packets, a *rawip.Writer.
type packetWriter interface {
	WritePacket(*pcapng.Packet) error
	AddInterface(pcapng.Interface) (host int, err error)
	WriteStats(pcapng.Stats) error
	Size() int64
	Flush() error
	Close() error
}

func newPacketWriter(w io.Writer, o pcapng.Options) (packetWriter, error) {
	if o.LinkType == pcapng.LinkTypeRaw {
		return rawip.NewWriter(w, o)
	}
	return pcapng.NewWriter(w, o)
}

// openOutput opens the files that the user named. Neither is touched yet, and
// a fifo's reader is waited for. began is when the first packet may come.
func openOutput(ctx context.Context, h *host, f *flags, began time.Time) (*output, error) {
	o := &output{
		pr: &f.printer, link: f.linkType, atOnce: f.flush, ctx: ctx, h: h, limits: f.limits,
		names: fileNames{rotation: f.rotation, name: f.write, zone: h.zone, began: began},
		clock: func(*pcapng.Packet) time.Time { return h.now() },
	}
	o.pr.times.zone = h.zone
	if f.stream != nil {
		var err error
		if o.stream, err = openStreamWriter(ctx, h, f); err != nil {
			return nil, err
		}
	} else if f.write != "" {
		name := o.names.current()
		if err := checkRotation(f.rotation, name); err != nil {
			return nil, err
		}
		d, err := openDestination(ctx, h, name)
		if err != nil {
			return nil, err
		}
		o.file = d
		if f.rotation.on() && !d.regular {
			o.abandon()
			return nil, errOneFile(name)
		}
		if isTerminal(d.File) {
			o.abandon()
			return nil, errTerminal(f.write)
		}
	}
	if f.text {
		name := f.textFile
		if name == "" {
			name = "-"
		}
		d, err := openDestination(ctx, h, name)
		if err != nil {
			o.abandon()
			return nil, err
		}
		o.text = d
		if o.file != nil && isOneFile(o.file.File, d.File) {
			o.abandon()
			if isStdout(name) {
				return nil, errStdoutToo(o.file.name)
			}
			return nil, errTwoOutputs(name)
		}
		o.atOnce = o.atOnce || isTerminal(d.File)
		o.pr.color = wantsColor(f.color, d.File, h.getenv)
	}
	if o.names.overwrites(&f.limits) {
		h.sayOverwrites(o.names.seconds)
	}
	return o, nil
}

// mayComeBack reports whether someone may pass on what is written: text, from
// a file too (tail -f), and what goes into a pipe or a socket.
func (o *output) mayComeBack() bool { return slices.ContainsFunc(o.destinations(), o.mayComeFrom) }

func (o *output) mayComeFrom(d *destination) bool {
	return (d == o.text || !d.regular) && !isNull(d.File)
}

// hold holds back what is written from now on, where it may come back.
func (o *output) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.destinations() {
		if o.mayComeFrom(d) {
			d.hold()
		}
	}
}

// release writes what was held back.
func (o *output) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, d := range o.destinations() {
		errs = append(errs, d.release())
	}
	if err := errors.Join(errs...); err != nil && o.err == nil {
		o.fail(err)
	}
}

// held is how many bytes are held back.
func (o *output) held() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.destinations() {
		n += len(d.held)
	}
	return n
}

// overflows reports whether more was written since hold than is held back.
func (o *output) overflows() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.destinations(), func(d *destination) bool { return d.overflow })
}

// destinations are the files that are open.
func (o *output) destinations() []*destination {
	var open []*destination
	for _, d := range []*destination{o.file, o.text} {
		if d != nil {
			open = append(open, d)
		}
	}
	return open
}

// writesTo reports whether one of the files is f.
func (o *output) writesTo(f *os.File) bool {
	return slices.ContainsFunc(o.destinations(), func(d *destination) bool { return sameFile(f, d.File) })
}

// abandon closes the files as if they had never been opened.
func (o *output) abandon() {
	for _, d := range o.destinations() {
		d.abandon()
	}
	if o.stream != nil {
		o.stream.Close()
	}
}

// begin empties the files and writes what comes before the packets. If failed
// is not nil, as in a live capture, no packet stays in a buffer for longer than
// maxDelay, and failed is called when writing one late fails, and when nobody
// reads what is written.
func (o *output) begin(meta pcapng.Options, failed func()) error {
	for _, d := range o.destinations() {
		if err := d.begin(); err != nil {
			return err
		}
	}
	if failed != nil {
		if err := o.watch(failed); err != nil {
			return err
		}
	}
	if o.stream != nil {
		meta.LinkType = o.link
		if err := o.stream.Begin(meta); err != nil {
			return err
		}
		o.writer = o.stream
	}
	if o.text != nil {
		o.lines = bufio.NewWriterSize(o.text, 64<<10)
	}
	if o.file != nil {
		meta.LinkType = o.link
		o.meta = meta
		if err := o.beginWriter(); err != nil {
			return err
		}
	}
	if failed != nil {
		o.failed = failed
		o.late = time.AfterFunc(maxDelay, o.flushLate)
		o.late.Stop()
		o.lateZip = time.AfterFunc(maxZipDelay, o.flushLateZip)
		o.lateZip.Stop()
	}
	return o.flush()
}

// watch calls gone when nobody reads what is written, from now on. Begin does it
// too, where that has not been done.
func (o *output) watch(gone func()) error {
	for _, d := range o.destinations() {
		if d.unwatch != nil {
			continue
		}
		if err := d.watch(gone); err != nil {
			return err
		}
	}
	return nil
}

// addHosts describes those of hosts, all of a capture file, that a file made
// from it does not have yet.
func (o *output) addHosts(hosts []pcapng.Interface) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writer != nil && len(o.hosts)+1 < len(hosts) {
		i := hosts[len(o.hosts)+1]
		if _, err := o.writer.AddInterface(i); err != nil {
			return err
		}
		o.hosts = append(o.hosts, i)
	}
	return nil
}

// write writes p everywhere, or nowhere if it returns errEnough.
func (o *output) write(p *pcapng.Packet) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	if o.writer != nil {
		if err := o.rotate(p); err != nil {
			return err
		}
		if err := o.writer.WritePacket(p); err != nil {
			return err
		}
		if p.Event == pcapng.EventData && o.stream == nil {
			o.unsure.add(o.writer.Size(), o.blocks)
		}
	}
	if o.lines != nil {
		o.line = o.pr.append(o.line[:0], p)
		o.echo.wrote(o.line)
		if _, err := o.lines.Write(o.line); err != nil {
			return err
		}
	}
	switch {
	case o.atOnce:
		err := o.flushLocked()
		if err != nil && p.Event == pcapng.EventData {
			o.unsure.takeBack() // nor does it count as captured
		}
		return err
	case o.late != nil && !o.pending:
		o.pending = true
		o.late.Reset(maxDelay)
	}
	return nil
}

// flush hands everything written so far to the kernel.
func (o *output) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.flushLocked()
}

func (o *output) flushLocked() error {
	err := o.flushBuffers()
	if o.stream != nil {
		o.stream.Expedite()
	}
	if o.zip != nil && err == nil {
		if err = o.zip.Flush(); err == nil {
			o.unsure.clear()
		}
	}
	return err
}

// flushBuffers is flushLocked without the compressor.
func (o *output) flushBuffers() error {
	o.pending = false
	var file, lines error
	if o.writer != nil {
		file = o.writer.Flush()
	}
	if o.lines != nil {
		lines = o.lines.Flush()
	}
	return errors.Join(file, lines)
}

func (o *output) flushLate() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil || !o.pending {
		return
	}
	o.fail(o.flushBuffers())
	if o.zip != nil && !o.waiting {
		o.waiting = true
		o.lateZip.Reset(maxZipDelay)
	}
}

func (o *output) flushLateZip() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = false
	if o.err == nil && o.zip != nil {
		o.fail(o.flushLocked())
	}
}

// fail keeps the error of a late flush, if there is one.
func (o *output) fail(err error) {
	if o.err = err; err != nil {
		o.failed()
	}
}

// close writes what comes after the packets, with the statistics of a capture
// if there was one, and closes the files.
func (o *output) close(end *pcapng.Stats) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.late != nil {
		o.late.Stop()
		o.lateZip.Stop()
	}
	errs := []error{o.err}
	if o.writer != nil {
		errs = append(errs, o.endWriter(end))
	} else if o.file != nil {
		errs = append(errs, o.file.close())
	} else if o.stream != nil {
		errs = append(errs, o.stream.end(nil))
	}
	if o.lines != nil {
		errs = append(errs, o.lines.Flush())
	}
	if o.text != nil {
		errs = append(errs, o.text.close())
	}
	return errors.Join(errs...)
}

// takeBack is close for what there is nothing to say of: a file that is new goes.
func (o *output) takeBack() error {
	opened := o.destinations()
	err := o.close(nil)
	for _, d := range opened {
		if d.created {
			err = errors.Join(err, os.Remove(d.name))
		}
	}
	return err
}

// leftOut is what the files have no packets for, after close.
func (o *output) leftOut() rawip.LeftOut { return o.left }

// countLeftOut adds what the file has no packets for that is being ended.
func (o *output) countLeftOut() {
	w, ok := o.writer.(*rawip.Writer)
	if !ok {
		return
	}
	more := w.LeftOut()
	for e, n := range more.Events {
		o.left.Events[e] += n
	}
	o.left.Dropped += more.Dropped
}
