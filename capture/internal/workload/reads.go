package workload

import "slices"

// tellingLen is from how many bytes on a read of a stream that several tasks
// read tells which bytes of it they were: fewer may be there twice.
const tellingLen = 8

// reader is who reads what is being taken from a queue.
type reader struct{ now Read }

// read is what is known of the k-th read of r.
func (r *recv) read(k int) Read {
	x := Read{Task: r.Task, Worker: r.Worker}
	if slices.Contains(r.Kept, k) {
		x.Task = -1
	}
	if k < len(r.At) {
		x.At = r.At[k]
	}
	return x
}

// bytes notes that n bytes of a stream, from at on in what r read, are of f.
func (q *reader) bytes(f *Flow, r *recv, at, n int) {
	begin := 0
	for k, size := range r.Bounds {
		end := begin + size
		if from, to := max(begin, at), min(end, at+n); from < to {
			f.addRead(to-from, r.read(k))
		}
		begin = end
	}
}

// addRead notes who read the next n bytes, or messages, of the flow.
func (f *Flow) addRead(n int, r Read) {
	last := len(f.Reads) - 1
	if r.End = n; last >= 0 {
		r.End += f.Reads[last].End
		same := f.Reads[last]
		same.End = r.End
		if same == r {
			f.Reads[last].End = r.End
			return
		}
	}
	f.Reads = append(f.Reads, r)
}

// readOf is who read the byte, or message, at a place of the flow.
func (f *Flow) readOf(at int) (Read, bool) {
	i, _ := slices.BinarySearchFunc(f.Reads, at+1, func(r Read, end int) int { return r.End - end })
	if i == len(f.Reads) || f.Reads[i].Task < 0 {
		return Read{}, false
	}
	return f.Reads[i], true
}
