package main

// leftOut are connections that are left out, by their numbers: maxLeftOut of those
// that were met last, and at most as many more. One that comes up again after so
// many others is found out anew, as it was the first time.
type leftOut struct{ young, old map[uint64]struct{} }

const maxLeftOut = 1 << 16

func (l *leftOut) add(connID uint64) {
	if l.young == nil || len(l.young) >= maxLeftOut {
		l.old, l.young = l.young, make(map[uint64]struct{})
	}
	l.young[connID] = struct{}{}
}

func (l *leftOut) has(connID uint64) bool {
	if _, ok := l.young[connID]; ok {
		return true
	}
	if _, ok := l.old[connID]; ok {
		l.add(connID)
		return true
	}
	return false
}
