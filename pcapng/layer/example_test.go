package layer_test

import (
	"fmt"
	"log"
	"os"

	"github.com/google/gopacket"
	"github.com/google/gopacket/pcapgo"

	"github.com/sockcap/sockcap/pcapng"
	"github.com/sockcap/sockcap/pcapng/layer"
)

// A program that prints who sent what to whom. Names and payload are hostile
// text, so they are quoted.
func Example() {
	file, err := os.Open("../../testdata/capture/http.pcapng")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		log.Fatal(err)
	}
	for packet := range gopacket.NewPacketSource(r, layer.LayerTypeSockcap).Packets() {
		if e := packet.ErrorLayer(); e != nil {
			log.Fatal(e.Error())
		}
		p := packet.Layer(layer.LayerTypeSockcap).(*layer.Sockcap).Packet
		if p.Event != pcapng.EventData {
			continue
		}
		payload := packet.ApplicationLayer().Payload()
		fmt.Printf("%s %q to %q: %.24q\n", packet.Metadata().Timestamp.Format("15:04:05.000000"), p.Sender.Comm, p.Peer.Comm, payload)
	}

	// Output:
	// 06:29:35.824174 "docker" to "dockerd": "HEAD /_ping HTTP/1.1\r\nHo"
	// 06:29:35.825423 "dockerd" to "docker": "HTTP/1.1 200 OK\r\nApi-Ver"
	// 06:29:37.825000 "docker" to "dockerd": "GET /v1.47/containers/js"
	// 06:29:37.827123 "dockerd" to "docker": "HTTP/1.1 200 OK\r\nContent"
}
