package wireshark_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sockcap/sockcap/wireshark"
)

func TestAppendSentence(t *testing.T) {
	got := string(wireshark.AppendSentence([]byte("before\n"), "arg",
		wireshark.Param{Name: "number", Value: "0"}, wireshark.Param{Name: "display", Value: "a}{b=c}\nvalue\x7f d é"}))
	if want := "before\narg {number=0}{display=a  b=c  value  d é}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestControl: README.extcap's layout, and back.
func TestControl(t *testing.T) {
	sent := []wireshark.Control{
		{Number: 3, Command: wireshark.ControlSet, Payload: "Turn off"},
		{Command: wireshark.ControlInitialized},
		{Number: 255, Command: wireshark.ControlError, Payload: strings.Repeat("x", 65535)},
	}
	want := []string{
		"T\x00\x00\x0a\x03\x01Turn off",
		"T\x00\x00\x02\x00\x00",
		"T\x01\x00\x01\xff\x09" + sent[2].Payload,
	}
	var all []byte
	for i, c := range sent {
		got := wireshark.AppendControl(nil, c)
		if string(got) != want[i] {
			t.Errorf("%+.20v is % x..., want % x...", c, got[:8], want[i][:6])
		}
		all = append(all, got...)
	}
	r := bytes.NewReader(all)
	for _, c := range sent {
		got, err := wireshark.ReadControl(r)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c, got); d != "" {
			t.Errorf("-sent +read: %s", d)
		}
	}
	if _, err := wireshark.ReadControl(r); err != io.EOF {
		t.Errorf("at the end: %v, want %v", err, io.EOF)
	}
	long := wireshark.AppendControl(nil, wireshark.Control{Payload: strings.Repeat("x", 65536)})
	if d := cmp.Diff(len(long), 65535+6); d != "" {
		t.Errorf("a payload that is too long: -got +want: %s", d)
	}
}

func TestReadControlRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"":                       io.EOF,
		"T\x00\x00":              io.ErrUnexpectedEOF,
		"T\x00\x00\x04\x00\x01":  io.ErrUnexpectedEOF,
		"T\x00\x00\x04\x00\x01x": io.ErrUnexpectedEOF,
		"X\x00\x00\x02\x00\x00":  wireshark.ErrControl,
		"T\x00\x00\x01\x00\x00":  wireshark.ErrControl,
		"T\x01\x00\x02\x00\x00":  wireshark.ErrControl,
	} {
		if c, err := wireshark.ReadControl(strings.NewReader(text)); !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v, want %v", text, c, err, want)
		}
	}
}

// FuzzReadControl: no bytes panic, and what is read is written the same.
func FuzzReadControl(f *testing.F) {
	f.Add([]byte("T\x00\x00\x0a\x03\x01Turn off"))
	f.Add([]byte("T\x00\x00\x02\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := wireshark.ReadControl(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again := wireshark.AppendControl(nil, c); !bytes.HasPrefix(b, again) {
			t.Errorf("% x is read as %+v, written as % x", b, c, again)
		}
	})
}
