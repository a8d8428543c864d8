package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxZipDelay is how long a packet may stay in a compressor: a file is worth
// something whose sockcap was killed, and yet not cut into blocks so small that
// there is nothing to compress.
const maxZipDelay = time.Second

// maxWindow is how much memory a file may ask for to be decompressed, as much
// as zstd(1) allows.
const maxWindow = 128 << 20

// compressor compresses what is written to it. After Flush, all that was
// written can be read from what is below. Close ends it, not what is below.
type compressor interface {
	io.WriteCloser
	Flush() error
}

// newCompressor is the one that the name's suffix stands for, nil if none does.
func newCompressor(name string, w io.Writer) (compressor, error) {
	switch {
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) // no goroutine: its errors are those of this write
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriter(w), nil
	}
	return nil, nil
}

// zipped reports whether the capture file is compressed.
func (o *output) zipped() bool {
	return strings.HasSuffix(o.names.name, ".zst") || strings.HasSuffix(o.names.name, ".gz")
}

// decompressed is what r has, decompressed if it begins as a compressed file
// does. close gives up what that takes. A file that is cut off gives all that
// can be had, and then io.ErrUnexpectedEOF.
func decompressed(r io.Reader) (_ io.Reader, close func(), err error) {
	b := bufio.NewReaderSize(r, 64<<10)
	begin, _ := b.Peek(4) // what is wrong is still there when it is read
	switch {
	case string(begin) == "\x28\xb5\x2f\xfd": // RFC 8878, section 3.1.1
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return zstdReader{z}, z.Close, nil
	case strings.HasPrefix(string(begin), "\x1f\x8b"): // RFC 1952, section 2.3.1
		z, err := gzip.NewReader(b)
		if err != nil { // it is in the file, so reading it says where
			return failedReader{err}, func() {}, nil
		}
		return z, func() {}, nil
	}
	return b, func() {}, nil
}

// zstdReader says in our words what is too large.
type zstdReader struct{ *zstd.Decoder }

func (r zstdReader) Read(p []byte) (int, error) {
	n, err := r.Decoder.Read(p)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = errWindow
	}
	return n, err
}

// failedReader has nothing but an error.
type failedReader struct{ err error }

func (r failedReader) Read([]byte) (int, error) { return 0, r.err }
