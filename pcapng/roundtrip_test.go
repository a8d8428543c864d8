package pcapng

import (
	"reflect"
	"testing"
)

// TestRoundTrip: what a packet says comes back, each field, whatever the
// packet before it was.
func TestRoundTrip(t *testing.T) {
	late := typical()
	late.Time = full().Time
	want := []*Packet{typical(), full(), late, full(), {Time: late.Time, Event: EventClose}}
	got, err := decode(encode(t, Options{}, want...))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
}

// TestFull: full has no field left empty, so that TestRoundTrip tries all.
func TestFull(t *testing.T) {
	v := reflect.ValueOf(*full())
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Host" {
			t.Errorf("full has no %s", name)
		}
	}
}
