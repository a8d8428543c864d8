package pcapng_test

import (
	"bytes"
	"fmt"
	"log"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

func Example() {
	var file bytes.Buffer
	w, err := pcapng.NewWriter(&file, pcapng.Options{Application: "example", Host: "alpha"})
	if err != nil {
		log.Fatal(err)
	}
	err = w.WritePacket(&pcapng.Packet{
		Time:  time.Date(2026, time.November, 24, 6, 29, 35, 824_123_456, time.UTC),
		Event: pcapng.EventData, Type: pcapng.Stream, Role: pcapng.RoleClient,
		Sender: pcapng.Endpoint{PID: 27806, Comm: "docker"}, Peer: pcapng.Endpoint{PID: 2434, Comm: "dockerd"},
		Path: "/run/docker.sock", Len: 11, MessageLen: 11, Data: []byte("HEAD /_ping"),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	r, err := pcapng.NewReader(&file)
	if err != nil {
		log.Fatal(err)
	}
	for p, err := range r.Packets() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %q > %q %q %s: %q\n", p.Event, p.Sender.Comm, p.Peer.Comm, p.Path, p.Type, p.Data)
	}
	// Output: data "docker" > "dockerd" "/run/docker.sock" stream: "HEAD /_ping"
}
