package main

import (
	"encoding/binary"
	"errors"
	"slices"
)

// wholeBlocks passes pcapng blocks on to a destination and knows where the
// last whole one ended, so that a write that failed halfway, on a full disk,
// is taken back from a regular file. After the first error it writes no more.
type wholeBlocks struct {
	file   *destination
	at     int64   // bytes written
	whole  int64   // of them in whole blocks
	header [8]byte // of the block that at lies in: type and total length
	filled int     // bytes of header that are known
	left   int64   // bytes of the block to come after its header
	echo   *echo   // is told of them, nil: nobody is
	err    error
}

func (w *wholeBlocks) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.echo.wroteBlocks(p)
	n, err := w.file.Write(p)
	w.follow(p[:n])
	if err != nil && w.file.regular {
		err = errors.Join(err, w.file.Truncate(w.whole))
	}
	w.err = err
	return n, err
}

// follow steps through the blocks in p, which was written.
func (w *wholeBlocks) follow(p []byte) {
	for len(p) > 0 {
		var n int
		if w.filled < len(w.header) {
			n = copy(w.header[w.filled:], p)
			w.filled += n
			w.left = int64(binary.LittleEndian.Uint32(w.header[4:])) - int64(len(w.header))
		} else {
			n = int(min(int64(len(p)), w.left))
			w.left -= int64(n)
		}
		w.at += int64(n)
		p = p[n:]
		if w.filled == len(w.header) && w.left <= 0 {
			w.whole, w.filled = w.at, 0
		}
	}
}

// unsure counts the packets of which nobody knows yet whether they have got
// into the file that is being written.
type unsure struct {
	ends  []int64 // where each ends in the file, in order
	count uint64  // of them, for a compressed file, which has no such places
}

// maxUnsure is how many are kept before it is asked which of them have got
// there: more than a buffer holds.
const maxUnsure = 4096

// add adds one that ends there.
func (u *unsure) add(end int64, blocks *wholeBlocks) {
	if blocks == nil {
		u.count++
		return
	}
	if len(u.ends) >= maxUnsure {
		u.missing(blocks)
	}
	u.ends = append(u.ends, end)
}

// takeBack takes back the last add.
func (u *unsure) takeBack() {
	if len(u.ends) > 0 {
		u.ends = u.ends[:len(u.ends)-1]
	} else if u.count > 0 {
		u.count--
	}
}

// missing is how many are not in the file, as far as it has got.
func (u *unsure) missing(blocks *wholeBlocks) uint64 {
	if blocks == nil {
		return u.count
	}
	there, _ := slices.BinarySearch(u.ends, blocks.whole+1)
	u.ends = slices.Delete(u.ends, 0, there)
	return uint64(len(u.ends))
}

func (u *unsure) clear() { u.ends, u.count = u.ends[:0], 0 }
