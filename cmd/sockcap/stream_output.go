package main

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/stream"
)

// linger is how long a packet waits for others to share a message with, unless
// it is to go at once (-U): a stream has a price for each message.
const linger = 200 * time.Millisecond

// slowEnd is how long it goes without saying that the end waits for a server.
const slowEnd = time.Second

// streamWriter writes packets to a stream, as if it were a capture file.
type streamWriter struct {
	*stream.Publisher
	h *host
}

// openStreamWriter connects to the stream of -w.
func openStreamWriter(ctx context.Context, h *host, f *flags) (*streamWriter, error) {
	o := stream.PublishOptions{
		Address:  *f.stream,
		Host:     cmp.Or(f.host, describeHost("", "").Host),
		Linger:   linger,
		Patience: 5 * h.patience, // as long as servers may take to agree on who leads
		Notify:   h.sayNotice,
	}
	if f.flush {
		o.Linger = 0
	}
	p, err := stream.Publish(ctx, o)
	if err != nil {
		return nil, err
	}
	return &streamWriter{p, h}, nil
}

// AddInterface is for what merges hosts, which no capture does.
func (w *streamWriter) AddInterface(pcapng.Interface) (int, error) { return 0, errors.ErrUnsupported }

// Size is no question: a stream has no length that ends it.
func (w *streamWriter) Size() int64 { return 0 }

// Flush does nothing, for a Publisher hands on what it has by itself, and
// Expedite makes it do so at once.
func (w *streamWriter) Flush() error { return nil }

// end sends what is left, with the statistics of the capture if there are any,
// and says what became of the packets.
func (w *streamWriter) end(s *pcapng.Stats) error {
	var errs []error
	if s != nil {
		if lost := w.Counts().Lost; lost > 0 {
			s.Comment = strings.TrimPrefix(s.Comment+", "+lostWords(lost), ", ")
		}
		errs = append(errs, w.WriteStats(*s))
	}
	slow := time.AfterFunc(slowEnd, w.h.sayWaiting)
	err := w.Close()
	slow.Stop()
	if left := (*stream.Error)(nil); errors.As(err, &left) && errors.Is(err, stream.ErrUndelivered) {
		err = undeliveredWords(left)
	}
	w.h.sayPublished(w.Counts())
	return errors.Join(append(errs, err)...)
}
