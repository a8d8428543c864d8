package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// source is capture files that are read as one.
type source struct {
	files []*sourceFile
	hosts []pcapng.Interface // of all of them, as the packets count them
}

// sourceFile is one of them.
type sourceFile struct {
	name  string
	in    *input
	r     *pcapng.Reader
	next  func() (*pcapng.Packet, error, bool) // nil before read
	stop  func()                               // ends next
	unzip func()                               // gives up what decompressing takes
	head  *pcapng.Packet                       // the one to come, nil if it is not read
	ended bool                                 // there is none to come
	err   error                                // why
	hosts []int                                // place of each of its interfaces in source.hosts
}

// openSource opens files and reads how they begin; "-" is standard input.
func openSource(ctx context.Context, h *host, names []string) (*source, error) {
	s := new(source)
	for _, name := range names {
		in, err := openInput(ctx, h, name)
		if err != nil {
			s.close()
			return nil, err
		}
		f := &sourceFile{name: name, in: in, stop: func() {}, unzip: func() {}}
		s.files = append(s.files, f)
		bytes, unzip, err := decompressed(in)
		if err == nil {
			f.unzip = unzip
			f.r, err = pcapng.NewReader(bytes)
		}
		if err != nil {
			s.close()
			return nil, errReading(name, err)
		}
		s.learnHosts(f, len(f.r.Interfaces()))
	}
	return s, nil
}

func (s *source) close() {
	for _, f := range s.files {
		f.stop()
		f.unzip()
		f.in.Close()
	}
}

// describe is what a file says that is made from these: of the machine, what
// the first one says.
func (s *source) describe() pcapng.Options {
	section := s.files[0].r.Section()
	o := pcapng.Options{Hardware: section.Hardware, OS: section.OS, Application: section.Application}
	if len(s.hosts) > 0 {
		o.Description = s.hosts[0].Description
	}
	return o
}

// begins is the time of the first packet, or otherwise if there is none.
func (s *source) begins(otherwise time.Time) time.Time {
	if f := s.earliest(); f != nil {
		return f.head.Time
	}
	return otherwise
}

// packets yields the packets of all files in the order of time, but never out
// of their order in a file; of several with the same time, first those of the
// file that was named first. Host counts through all files. What is wrong with
// files comes as the last pair, joined. A packet is valid until the next
// iteration.
func (s *source) packets() iter.Seq2[*pcapng.Packet, error] {
	if len(s.files) == 1 && s.files[0].next == nil {
		return s.only(s.files[0])
	}
	return func(yield func(*pcapng.Packet, error) bool) {
		for f := s.earliest(); f != nil; f = s.earliest() {
			p := f.head
			f.head = nil
			s.learnHosts(f, p.Host+1)
			p.Host = f.hosts[p.Host]
			if !yield(p, nil) {
				return
			}
		}
		var errs []error
		for _, f := range s.files {
			errs = append(errs, f.err)
		}
		if err := errors.Join(errs...); err != nil {
			yield(nil, err)
		}
	}
}

// only is packets of a single file: pulling them would add half to the time.
func (s *source) only(f *sourceFile) iter.Seq2[*pcapng.Packet, error] {
	return func(yield func(*pcapng.Packet, error) bool) {
		for p, err := range f.r.Packets() {
			if err != nil {
				yield(nil, errReading(f.name, err))
				return
			}
			s.learnHosts(f, p.Host+1)
			if !yield(p, nil) {
				return
			}
		}
	}
}

// earliest is the file with the next packet, nil if all have ended.
func (s *source) earliest() *sourceFile {
	var first *sourceFile
	for _, f := range s.files {
		f.read()
		if f.head != nil && (first == nil || f.head.Time.Before(first.head.Time)) {
			first = f
		}
	}
	return first
}

// read reads the head, unless it is there. The packet before is lost by that.
func (f *sourceFile) read() {
	if f.head != nil || f.ended {
		return
	}
	if f.next == nil {
		f.next, f.stop = iter.Pull2(f.r.Packets())
	}
	p, err, ok := f.next()
	switch {
	case !ok:
		f.ended = true
	case err != nil:
		f.ended, f.err = true, errReading(f.name, err)
	default:
		f.head = p
	}
}

// learnHosts gives the first n interfaces of f their places.
func (s *source) learnHosts(f *sourceFile, n int) {
	for len(f.hosts) < n {
		s.hosts = append(s.hosts, f.r.Interface(len(f.hosts)))
		f.hosts = append(f.hosts, len(s.hosts)-1)
	}
}
