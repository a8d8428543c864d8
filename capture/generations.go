package capture

import "maps"

// generations is a map with a bound: what was not used while limit other keys
// were is forgotten. The zero limit is not allowed.
type generations[K comparable, V any] struct {
	limit      int
	young, old map[K]V
	era        uint32 // how often what get gave before may have changed
	added      uint32 // how often what get did not find before may have come
}

func newGenerations[K comparable, V any](limit int) *generations[K, V] {
	return &generations[K, V]{limit: limit, young: make(map[K]V), era: 1}
}

// isEmpty says without a search that nothing will be found.
func (g *generations[K, V]) isEmpty() bool { return len(g.young) == 0 && len(g.old) == 0 }

func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	if ok {
		g.put(k, v)
	}
	return v, ok
}

func (g *generations[K, V]) put(k K, v V) {
	if len(g.young) >= g.limit {
		g.age()
	}
	had := len(g.young)
	g.young[k] = v
	if len(g.young) == had {
		g.era++
	} else {
		g.added++
	}
}

// peek is get, but does not count as use.
func (g *generations[K, V]) peek(k K) V {
	v, ok := g.young[k]
	if !ok {
		v = g.old[k]
	}
	return v
}

// len is how many there are at most: what was used of late may count twice.
func (g *generations[K, V]) len() int { return len(g.young) + len(g.old) }

// age forgets what was not used since it was called last, by put or otherwise.
func (g *generations[K, V]) age() {
	g.era++
	g.old, g.young = g.young, make(map[K]V)
}

// each calls f with every value.
func (g *generations[K, V]) each(f func(V)) {
	for _, v := range g.old {
		f(v)
	}
	for _, v := range g.young {
		f(v)
	}
}

// removeIf removes what is found to be superfluous.
func (g *generations[K, V]) removeIf(superfluous func(K, V) bool) {
	g.era++
	maps.DeleteFunc(g.young, superfluous)
	maps.DeleteFunc(g.old, superfluous)
}

func (g *generations[K, V]) remove(k K) {
	g.era++
	delete(g.young, k)
	delete(g.old, k)
}

// shortcut is the way to what is asked for again and again, as the two ends of a
// connection are: it knows without a search what get found before, or did not,
// unless a change came between.
type shortcut[K comparable, V any] struct {
	found [64]struct {
		era   uint32 // of the map, 0: nothing was asked for
		added uint32 // of the map
		known bool
		key   K
		value V
	}
}

// get is g.get. The same key should come with the same hint, and others with
// others.
func (s *shortcut[K, V]) get(g *generations[K, V], k K, hint uint64) (V, bool) {
	f := &s.found[hint%uint64(len(s.found))]
	if f.era == g.era && f.key == k && (f.known || f.added == g.added) {
		return f.value, f.known
	}
	v, ok := g.get(k)
	f.era, f.added, f.known, f.key, f.value = g.era, g.added, ok, k, v
	return v, ok
}
