package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// errEnough ends a capture: all files are written that -W allows.
var errEnough = errors.New("maximum file limit reached")

// beginWriter begins the capture file that is open.
func (o *output) beginWriter() error {
	o.blocks = &wholeBlocks{file: o.file}
	if !o.file.regular { // someone may pass it on
		o.blocks.echo = o.echo
	}
	var below io.Writer = o.blocks
	zip, err := newCompressor(o.names.name, o.file)
	if err != nil {
		return err
	}
	if zip != nil {
		below, o.blocks = zip, nil
	}
	o.zip = zip
	w, err := newPacketWriter(below, o.meta)
	if err != nil {
		return err
	}
	o.writer = w
	for _, i := range o.hosts {
		if _, err := w.AddInterface(i); err != nil {
			return err
		}
	}
	return nil
}

// endWriter ends the capture file, with what comes after the packets, and
// closes it.
func (o *output) endWriter(end *pcapng.Stats) error {
	if o.stream != nil {
		return o.stream.end(end)
	}
	var errs []error
	if end != nil {
		errs = append(errs, o.writer.WriteStats(*end))
	}
	err := o.writer.Close()
	if err == nil && o.zip != nil {
		err = o.zip.Close()
	}
	errs = append(errs, err)
	o.countLeftOut()
	errs = append(errs, o.file.close())
	if err != nil && !isBrokenPipe(err) {
		o.missing = o.unsure.missing(o.blocks)
	}
	o.unsure.clear()
	o.writer, o.zip, o.file = nil, nil, nil
	return errors.Join(errs...)
}

// rotate lets the next file begin if it is time, before p is written to it.
func (o *output) rotate(p *pcapng.Packet) error {
	if !o.names.on() {
		return nil
	}
	finished := o.file.name
	at := o.clock(p)
	rotate, enough := o.names.next(at, o.size())
	if !rotate {
		return nil
	}
	var end *pcapng.Stats
	if o.stats != nil {
		s := o.stats()
		end = &s
	}
	if err := o.endWriter(end); err != nil {
		return err
	}
	if o.names.command != "" {
		o.h.runAfter(o.names.command, finished)
	}
	if enough {
		return errEnough
	}
	return o.openNext()
}

// openNext opens the file that the rotation has come to, and begins it.
func (o *output) openNext() error {
	name := o.names.current()
	if err := checkRotation(o.names.rotation, name); err != nil {
		return err
	}
	d, err := openDestination(o.ctx, o.h, name)
	if err != nil {
		return err
	}
	o.file = d
	if err := o.checkNext(d); err != nil {
		d.abandon()
		o.file = nil
		return err
	}
	if err := d.begin(); err != nil {
		return err
	}
	return o.beginWriter()
}

// checkNext refuses a file that is another one of ours: the name of the next
// file of a rotation is not the one that the user wrote.
func (o *output) checkNext(d *destination) error {
	if !d.regular {
		return errOneFile(d.name)
	}
	for _, f := range o.reading {
		if sameFile(f, d.File) {
			return errSameFile(d.name)
		}
	}
	if o.text != nil && isOneFile(o.text.File, d.File) {
		return errTwoOutputs(d.name)
	}
	return nil
}

// sameFile reports whether a and b are one regular file.
func sameFile(a, b *os.File) bool {
	first, err := a.Stat()
	if err != nil || !first.Mode().IsRegular() {
		return false
	}
	second, err := b.Stat()
	return err == nil && os.SameFile(first, second)
}

// isOneFile reports whether what is written to a and to b gets mixed, as in one
// regular file, pipe or socket; /dev/null takes all.
func isOneFile(a, b *os.File) bool {
	first, err := a.Stat()
	if err != nil || first.Mode()&(fs.ModeDevice|fs.ModeDir) != 0 {
		return false
	}
	second, err := b.Stat()
	return err == nil && os.SameFile(first, second)
}

// size is how long the capture file is, with what is in buffers. Of a
// compressed one, it is what has been compressed so far.
func (o *output) size() int64 {
	if o.zip != nil {
		return o.file.written
	}
	return o.writer.Size()
}

// full reports whether the capture file is as long as -a filesize lets it be.
func (o *output) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.limits.fileSize > 0 && o.writer != nil && o.size() >= o.limits.fileSize
}

// packetTime is what -G and -a duration go by where a file is read.
func packetTime(p *pcapng.Packet) time.Time { return p.Time }
