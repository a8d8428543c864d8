package pcapng

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// maxInterfaces is how many hosts a file can have.
const maxInterfaces = 1 << 16

// Options describe the machine and program that capture. What is empty is left
// out of the file, but for Application, which is then "sockcap".
type Options struct {
	Hardware    string // shb_hardware
	OS          string // shb_os
	Application string // shb_userappl: the program and its version

	Host        string // whose sockets they are
	Hooks       string // by which hook set
	Description string // if_description, instead of one made of Host and Hooks

	LinkType int // LinkType to LinkTypeLast; LinkTypeRaw for WriteFrame; 0 means LinkType
}

// Interface describes a host whose sockets are in the file.
type Interface struct {
	Name        string // if_name, "sockcap" if empty
	Description string // if_description
	Stats       *Stats // the last ones read of it, nil if there are none; not written
}

// Stats are counts at the end of a capture, or of a file of it, in packets.
type Stats struct {
	Host      int       // index of the interface
	Start     time.Time // of the capture
	End       time.Time
	Received  uint64 // isb_ifrecv
	Accepted  uint64 // isb_filteraccept
	IfDropped uint64 // isb_ifdrop
	OSDropped uint64 // isb_osdrop
	Comment   string // what was lost where, and what was left out as our own
}

// Writer writes a capture file. It buffers: Flush hands on what is left, and
// Close does so too. Only whole blocks are handed on, as many as there are in
// one Write. A Writer's methods are for one goroutine at a time. After one of
// them failed to write, all fail with the same error.
type Writer struct {
	out   io.Writer
	buf   buffer
	ng    *pcapgo.NgWriter // on buf; for the blocks whose cost does not matter
	link  int
	hosts int
	last  int64 // time of the latest packet, ns
	size  int64 // of what was handed on
	names recent
	head  []byte // the section header and the first interface
	err   error
}

// buffer is the blocks that have not been handed on.
type buffer []byte

// flushAt is the length at which the buffer is handed on.
const flushAt = 64 << 10

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// NewWriter writes a section header and a first interface to w. They stay in
// the buffer until Flush. The Writer does not close w. ErrLinkType means that
// there are no files of o.LinkType.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	if o.Application == "" {
		o.Application = "sockcap"
	}
	if o.Description == "" {
		o.Description = describe(o.Host, o.Hooks)
	}
	if o.LinkType == 0 {
		o.LinkType = LinkType
	}
	if !isRecordType(o.LinkType) && o.LinkType != LinkTypeRaw {
		return nil, errWriting("header", fmt.Errorf("%w %d", ErrLinkType, o.LinkType))
	}
	d := &Writer{out: w, link: o.LinkType, hosts: 1}
	first := d.ngInterface(Interface{Description: o.Description})
	section := pcapgo.NgSectionInfo{
		Hardware: optionText(o.Hardware), OS: optionText(o.OS), Application: optionText(o.Application),
	}
	var err error
	d.ng, err = pcapgo.NewNgWriterInterface(&d.buf, first, pcapgo.NgWriterOptions{SectionInfo: section})
	if err == nil {
		err = d.ng.Flush()
	}
	if err != nil {
		return nil, errWriting("header", err)
	}
	d.head = bytes.Clone(d.buf)
	return d, nil
}

// NewSection writes the section header and the first interface again. What
// follows can be read without what is before it, and is for the first interface
// alone until AddInterface is told of others again.
func (w *Writer) NewSection() error {
	if w.err != nil {
		return w.err
	}
	w.buf = append(w.buf, w.head...)
	w.hosts = 1
	return w.flushFull()
}

// Of reports whether i is described as Options with this Host are.
func (i Interface) Of(host string) bool {
	hooks, ok := strings.CutPrefix(i.Description, describe(host, ""))
	return ok && (hooks == "" || strings.HasPrefix(hooks, " ("))
}

// describe is what if_description says of a host and a hook set.
func describe(host, hooks string) string {
	s := "Unix sockets"
	if host != "" {
		s += " of " + host
	}
	if hooks != "" {
		s += " (" + hooks + ")"
	}
	return s
}

func (w *Writer) ngInterface(i Interface) pcapgo.NgInterface {
	if i.Name == "" {
		i.Name = "sockcap"
	}
	return pcapgo.NgInterface{
		Name:        optionText(i.Name),
		Description: optionText(i.Description),
		LinkType:    layers.LinkType(w.link),
		SnapLength:  MaxRecord,
	}
}

// optionText is s as far as a block's option can hold it: pcapgo writes longer
// ones without error, and makes the rest of the file unreadable.
func optionText(s string) string {
	if len(s) > math.MaxUint16 {
		return cutText(s, math.MaxUint16)
	}
	return s
}

// AddInterface describes one more host. The first is Host 0 of a Packet and is
// there from the beginning.
func (w *Writer) AddInterface(i Interface) (host int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.hosts == maxInterfaces {
		return 0, &Error{"write interface", -1, fmt.Errorf("%w: more than %d hosts", ErrPacket, maxInterfaces)}
	}
	_, err = w.ng.AddInterface(w.ngInterface(i))
	if err == nil {
		err = w.ng.Flush()
	}
	if err != nil {
		return 0, w.fail("interface", err)
	}
	w.hosts++
	return w.hosts - 1, w.flushFull()
}

// WritePacket writes p, with comments. It does not change p or keep it. A
// packet that is earlier than the one before gets the time of that, and its
// own into the record, unless there is one already. A Host that AddInterface
// was not told of gets an interface that says nothing of it. ErrPacket means
// that p makes no record, and that nothing was written.
func (w *Writer) WritePacket(p *Packet) error {
	if w.err != nil {
		return w.err
	}
	if err := w.check(p); err != nil {
		return &Error{"write packet", -1, fmt.Errorf("%w: %w", ErrPacket, err)}
	}
	if err := w.describeHost(p.Host); err != nil {
		return err
	}
	at, own := nanoseconds(p.Time), ownTime(p)
	if at < w.last && own == noTime {
		own = at
	}
	w.last = max(w.last, at)
	w.buf = appendPacket(w.buf, p, w.names.of(p), w.last, own)
	return w.flushFull()
}

// describeHost adds interfaces, of which nothing is known, up to host.
func (w *Writer) describeHost(host int) error {
	for w.hosts <= host {
		if _, err := w.AddInterface(Interface{Description: describe("", "")}); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) check(p *Packet) error {
	switch {
	case !isRecordType(w.link):
		return fmt.Errorf("%w %d has no records", ErrLinkType, w.link)
	case p.Host < 0 || p.Host >= maxInterfaces:
		return fmt.Errorf("host %d", p.Host)
	case len(p.Data) > MaxPayload:
		return fmt.Errorf("payload of %d bytes, more than %d", len(p.Data), MaxPayload)
	case uint64(len(p.Data)) > uint64(p.Len):
		return fmt.Errorf("payload of %d bytes, length %d", len(p.Data), p.Len)
	}
	return nil
}

// appendPacket appends an Enhanced Packet Block.
func appendPacket(b []byte, p *Packet, names *written, at, own int64) []byte {
	if names.block.fits(p, own) {
		return names.block.append(b, p, at)
	}
	le := binary.LittleEndian
	start := len(b)
	b = le.AppendUint32(b, blockPacket)
	b = append(b, 0, 0, 0, 0) // length
	b = le.AppendUint32(b, uint32(p.Host))
	b = appendTimestamp(b, at)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // captured and original length

	record := len(b)
	first, last := names.record()
	b = endHeader(append(appendFixed(b, p), first...), record, p, own, last)
	header := len(b) - record
	le.PutUint32(b[record-4:], originalLen(header, p.Len))
	b = append(b, p.Data...)
	le.PutUint32(b[record-8:], uint32(len(b)-record))
	b = append(b, "\x00\x00\x00"[:(record-len(b))&3]...)
	b = endBlock(appendPacketOptions(b, p, names), start)
	if isPlain(p, own) {
		names.block.keep(b[start:], p, header, len(last))
	}
	return b
}

// endBlock fills in the length of the block that begins at start, and appends
// it.
func endBlock(b []byte, start int) []byte {
	n := uint32(len(b) - start + 4)
	binary.LittleEndian.PutUint32(b[start+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

func appendPacketOptions(b []byte, p *Packet, names *written) []byte {
	start := len(b)
	who, where := names.comment()
	b = append(beginOption(b, optionComment), who...)
	b = endOption(appendComment(b, p, where), start)
	if isAnomalous(p) {
		start = len(b)
		b = endOption(AppendAnomaly(beginOption(b, optionComment), p), start)
	}
	return endPacketOptions(b, p.DropCount)
}

// endPacketOptions appends the drop count, if there is one, and the end of the
// options.
func endPacketOptions(b []byte, dropCount uint64) []byte {
	if dropCount > 0 {
		b = binary.LittleEndian.AppendUint64(append(b, optionDropCount, 0, 8, 0), dropCount)
	}
	return append(b, 0, 0, 0, 0)
}

// beginOption appends the head of an option whose length endOption fills in.
func beginOption(b []byte, code byte) []byte { return append(b, code, 0, 0, 0) }

// endOption pads the option that begins at start.
func endOption(b []byte, start int) []byte {
	n := len(b) - start - 4
	binary.LittleEndian.PutUint16(b[start+2:], uint16(n))
	return append(b, "\x00\x00\x00"[:-n&3]...)
}

// WriteStats writes an Interface Statistics Block. Start and End are left out
// where they are zero; the block's own time is End, or else the last packet's.
// The block is ours because pcapgo's knows neither comment, nor accepted, nor
// dropped by the system.
func (w *Writer) WriteStats(s Stats) error {
	if w.err != nil {
		return w.err
	}
	if s.Host < 0 || s.Host >= w.hosts {
		return &Error{"write statistics", -1, fmt.Errorf("%w: host %d of %d", ErrPacket, s.Host, w.hosts)}
	}
	le := binary.LittleEndian
	at := w.last
	if !s.End.IsZero() {
		at = nanoseconds(s.End)
	}
	first := len(w.buf)
	b := le.AppendUint32(w.buf, blockStats)
	b = append(b, 0, 0, 0, 0) // length
	b = appendTimestamp(le.AppendUint32(b, uint32(s.Host)), at)
	if s.Comment != "" {
		start := len(b)
		b = endOption(append(beginOption(b, optionComment), optionText(s.Comment)...), start)
	}
	if !s.Start.IsZero() {
		b = appendTimestamp(append(b, optionStartTime, 0, 8, 0), nanoseconds(s.Start))
	}
	if !s.End.IsZero() {
		b = appendTimestamp(append(b, optionEndTime, 0, 8, 0), nanoseconds(s.End))
	}
	b = le.AppendUint64(append(b, optionReceived, 0, 8, 0), s.Received)
	b = le.AppendUint64(append(b, optionIfDropped, 0, 8, 0), s.IfDropped)
	b = le.AppendUint64(append(b, optionAccepted, 0, 8, 0), s.Accepted)
	b = le.AppendUint64(append(b, optionOSDropped, 0, 8, 0), s.OSDropped)
	w.buf = endBlock(append(b, 0, 0, 0, 0), first)
	return w.flushFull()
}

// appendTimestamp appends a time as blocks have it, the upper half first.
func appendTimestamp(b []byte, ns int64) []byte {
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	putTimestamp(b[len(b)-8:], ns)
	return b
}

func putTimestamp(b []byte, ns int64) {
	binary.LittleEndian.PutUint32(b, uint32(ns>>32))
	binary.LittleEndian.PutUint32(b[4:], uint32(ns))
}

// flushFull flushes a buffer that is full.
func (w *Writer) flushFull() error {
	if len(w.buf) < flushAt {
		return nil
	}
	return w.Flush()
}

// Flush hands everything written so far on to the writer below.
func (w *Writer) Flush() error {
	if w.err != nil || len(w.buf) == 0 {
		return w.err
	}
	n, err := w.out.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	w.size += int64(n)
	w.buf = w.buf[:0]
	return w.fail("blocks", err)
}

// Size returns how many bytes the file has, with those in the buffer.
func (w *Writer) Size() int64 { return w.size + int64(len(w.buf)) }

// Close flushes. Afterwards nothing can be written; closing again does
// nothing.
func (w *Writer) Close() error {
	if errors.Is(w.err, ErrClosed) {
		return nil
	}
	err := w.Flush()
	if err == nil {
		w.err = &Error{"write", -1, ErrClosed}
	}
	return err
}

// fail keeps an error for all later calls.
func (w *Writer) fail(what string, err error) error {
	if err != nil {
		w.err = errWriting(what, err)
	}
	return w.err
}

func errWriting(what string, err error) error {
	return &Error{Op: "write " + what, Offset: -1, Err: err}
}

// lastSecond is the first one after 1970 of which not all nanoseconds can be
// counted in 63 bits: in the year 2262.
const lastSecond = math.MaxInt64 / int64(time.Second)

// nanoseconds is t since 1970, or the nearest that a file can hold.
func nanoseconds(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < 0:
		return 0
	case s >= lastSecond:
		return lastSecond*int64(time.Second) - 1
	}
	return t.UnixNano()
}
