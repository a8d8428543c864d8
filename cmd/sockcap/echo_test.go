package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sockcap/sockcap/pcapng"
)

func newTestEcho() (*echo, *[]uint64) {
	var found []uint64
	return newEcho(func(p *pcapng.Packet) { found = append(found, p.ConnID) }), &found
}

func carried(conn uint64, text string) *pcapng.Packet {
	return &pcapng.Packet{Event: pcapng.EventData, ConnID: conn, Data: []byte(text)}
}

// What was written is recognised wherever in a payload it stands, and from then
// on all of that connection is left out, and nothing of others.
func TestEcho(t *testing.T) {
	e, found := newTestEcho()
	line := "13:48:43.617702 curl[12137] > dockerd[12086] /run/docker.sock stream length 70: GET /_ping HTTP/1.1\n"
	if e.carries(carried(1, line)) {
		t.Error("left out before anything was written")
	}
	e.wrote([]byte(line))
	for i, text := range []string{"GET /_ping HTTP/1.1\r\n\r\n", line[1:], strings.ToUpper(line), line[:39]} {
		if e.carries(carried(2, text)) {
			t.Errorf("left out payload %d, which is nothing that was written", i)
		}
	}
	if !e.carries(carried(3, "\x01\x00\x00\x00\x00\x00\x00\x64"+line)) || !e.carries(carried(4, strings.Repeat("x", 70000)+line[:40])) {
		t.Error("kept what was written")
	}
	if !e.carries(carried(3, "x")) || !e.carries(&pcapng.Packet{Event: pcapng.EventClose, ConnID: 3}) {
		t.Error("kept the rest of a connection that carries what was written")
	}
	if e.carries(carried(1, "x")) || e.carries(&pcapng.Packet{Event: pcapng.EventListen}) {
		t.Error("left out another")
	}
	if fmt.Sprint(*found) != "[3 4]" || e.leftOut() != 3 {
		t.Errorf("connections %v, %d packets left out, want [3 4] and 3", *found, e.leftOut())
	}
}

// Lines are forgotten after many others, never too early, and memory is bound.
func TestEchoForgets(t *testing.T) {
	e, _ := newTestEcho()
	line := func(i int) string { return fmt.Sprintf("%040d\n", i) }
	for i := range 3 * echoMost {
		e.wrote([]byte(line(i)))
		if at := max(0, i-echoMost+1); !e.repeats([]byte(line(at))) {
			t.Fatalf("line %d is forgotten at %d", at, i)
		}
	}
	if e.repeats([]byte(line(0))) || len(e.young)+len(e.old) > 2*echoMost {
		t.Errorf("%d lines are remembered, the first among them", len(e.young)+len(e.old))
	}
}

// Each packet of a file is recognised by its block.
func TestEchoBlocks(t *testing.T) {
	var file bytes.Buffer
	w, err := pcapng.NewWriter(&file, pcapng.Options{Application: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for i := range 3 {
		at = append(at, int(w.Size()))
		p := fullPacket()
		p.Message = uint64(i)
		if err := w.WritePacket(&p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	e, _ := newTestEcho()
	e.wroteBlocks(file.Bytes())
	for i, begin := range at {
		if !e.repeats(file.Bytes()[begin : begin+echoWidth]) {
			t.Errorf("packet %d is not recognised", i)
		}
	}
	if e.repeats(file.Bytes()[:at[0]]) {
		t.Error("the file's head is taken for a packet")
	}
	e.wroteBlocks([]byte(strings.Repeat("\x06\x00\x00\x00", 20))) // a length beyond the end
}

// However it is cut, what is looked for by a moving hash is what is there.
func FuzzEcho(f *testing.F) {
	f.Add([]byte(strings.Repeat("abc", 30)), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, at uint8) {
		e, _ := newTestEcho()
		if int(at)+echoWidth > len(data) {
			e.wrote([]byte(strings.Repeat("z", echoWidth)))
			if e.repeats(data) != bytes.Contains(data, []byte(strings.Repeat("z", echoWidth))) {
				t.Errorf("%q", data)
			}
			return
		}
		e.wrote(data[at:])
		if !e.repeats(data) {
			t.Errorf("what is at %d of %q is not found", at, data)
		}
	})
}

func BenchmarkEcho(b *testing.B) {
	e, _ := newTestEcho()
	for i := range echoMost {
		e.wrote([]byte(fmt.Sprintf("%040d\n", i)))
	}
	p := carried(1, strings.Repeat("GET /containers/json HTTP/1.1 ", 1000))
	b.SetBytes(int64(len(p.Data)))
	for b.Loop() {
		if e.carries(p) {
			b.Fatal("left out")
		}
	}
}
