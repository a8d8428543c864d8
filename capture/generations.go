package capture

// generations is a map with a bound: what was not used while limit other keys
// were is forgotten. The zero limit is not allowed.
type generations[K comparable, V any] struct {
	limit      int
	young, old map[K]V
}

func newGenerations[K comparable, V any](limit int) *generations[K, V] {
	return &generations[K, V]{limit: limit, young: make(map[K]V)}
}

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
	g.young[k] = v
}

// age forgets what was not used since it was called last, by put or otherwise.
func (g *generations[K, V]) age() { g.old, g.young = g.young, make(map[K]V) }

// each calls f with every value.
func (g *generations[K, V]) each(f func(V)) {
	for _, v := range g.old {
		f(v)
	}
	for _, v := range g.young {
		f(v)
	}
}

func (g *generations[K, V]) remove(k K) {
	delete(g.young, k)
	delete(g.old, k)
}
