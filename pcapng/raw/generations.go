package raw

import (
	"maps"
	"slices"
)

// generations is a map with a bound: what was not used while limit other keys
// were is forgotten.
type generations[K comparable, V any] struct {
	limit      int
	young, old map[K]*V
}

// of returns the value of k, a zero one if k is new or forgotten.
func (g *generations[K, V]) of(k K) *V {
	if v := g.young[k]; v != nil {
		return v
	}
	v := g.old[k]
	if v == nil {
		v = new(V)
	}
	if len(g.young) >= g.limit {
		g.old, g.young = g.young, nil
	}
	if g.young == nil {
		g.young = make(map[K]*V)
	}
	g.young[k] = v
	return v
}

// all returns the values that are not forgotten, in the order of their keys.
func (g *generations[K, V]) all(compare func(a, b K) int) []*V {
	values := maps.Clone(g.old)
	if values == nil {
		values = make(map[K]*V)
	}
	maps.Copy(values, g.young)
	var all []*V
	for _, k := range slices.SortedFunc(maps.Keys(values), compare) {
		all = append(all, values[k])
	}
	return all
}
