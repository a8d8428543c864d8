package filter

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

// follow goes through the tests with a packet of which only the primitives that
// known accepts are known.
func follow(t testing.TB, tests []Test, p *pcapng.Packet, known func(Condition) bool) bool {
	t.Helper()
	at := 0
	for at >= 0 {
		test := tests[at]
		next := test.Unknown
		if known(test.Condition) {
			next = test.No
			if test.Condition.node.match(p, nil) {
				next = test.Yes
			}
		}
		if next >= 0 && next <= at {
			t.Fatalf("test %d goes back to %d", at, next)
		}
		at = next
	}
	return at == Keep
}

// checkTests holds an expression's tests to the expression: with everything
// known they decide the same, with something unknown they drop nothing that it
// keeps.
func checkTests(t testing.TB, e *Expr, r *rand.Rand) {
	t.Helper()
	if e.All() {
		return
	}
	tests := e.Tests()
	p, unknown := somePacket(r), r.Uint64()
	all := func(Condition) bool { return true }
	some := func(c Condition) bool {
		i := slices.IndexFunc(tests, func(t Test) bool { return t.Condition == c })
		return unknown>>(i%64)&1 == 0
	}
	want := e.Match(p)
	if got := follow(t, tests, p, all); got != want {
		t.Fatalf("%s: the tests say %v, want %v, of\n%+v", e, got, want, *p)
	}
	if got := follow(t, tests, p, some); want && !got {
		t.Fatalf("%s: the tests drop what it keeps\n%+v", e, *p)
	}
}

func TestTests(t *testing.T) {
	meaning := primitives()
	keys := slices.Sorted(maps.Keys(meaning))
	r := rand.New(rand.NewPCG(5, 6))
	for range 1009 {
		text, _ := somewhat(r, 3, keys, meaning)
		e := parse(t, text)
		for range 31 {
			checkTests(t, e, r)
		}
	}
	if tests := parse(t, "").Tests(); tests != nil {
		t.Errorf("everything is kept by %+v", tests)
	}
}

// TestBegins: the start of a name, as a pattern tells it, is that of all names
// that match; where it says that it tells all, it does.
func TestBegins(t *testing.T) {
	for text, want := range map[string]struct {
		text         string
		whole, exact bool
	}{
		"comm curl": {"curl", true, true}, "comm c*": {"c", false, true}, "comm c**": {"c", false, true}, "comm *": {"", false, true},
		"comm c*l": {"c", false, false}, "comm c?": {"c", false, false}, "comm c[u]*": {"c", false, false},
		`comm c\**`: {"c*", false, true}, `comm \*`: {"*", true, true}, `comm a\ b*`: {"a b", false, true},
	} {
		c := parse(t, text).Tests()[0].Condition
		if c.Field != FieldComm || c.Text != want.text || c.Whole != want.whole || c.Exact != want.exact {
			t.Errorf("%s: %+v", text, c)
		}
	}
}

func FuzzTests(f *testing.F) {
	for text := range primitives() {
		f.Add(text, uint64(1))
	}
	f.Add("not (pid 5 or (comm curl and not len > 7)) and (stream or not /run)", uint64(2))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		e, err := Parse(text, names())
		if err != nil {
			return
		}
		r := rand.New(rand.NewPCG(seed, 9))
		for range 17 {
			checkTests(t, e, r)
		}
	})
}
