package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// at is the moment n microseconds into every golden capture.
func at(n int) time.Time {
	return time.Date(2026, time.November, 24, 6, 29, 35, 824_123_000, time.UTC).Add(time.Duration(n) * time.Microsecond)
}

func endpoint(comm string, pid uint32) pcapng.Endpoint {
	return pcapng.Endpoint{PID: pid, TID: pid, UID: 1000, GID: 1000, Inode: 40000 + uint64(pid), Comm: comm}
}

// message is data from one process to another over the connection id, as long
// as text.
func message(n int, from, to pcapng.Endpoint, path, text string) pcapng.Packet {
	return pcapng.Packet{
		Time: at(n), Event: pcapng.EventData, Type: pcapng.Stream, Role: pcapng.RoleClient,
		Sender: from, Peer: to, Path: path, ConnID: 7, Message: uint64(n + 1),
		Len: uint32(len(text)), MessageLen: uint32(len(text)), Data: []byte(text),
	}
}

// with is p changed.
func with(p pcapng.Packet, change func(*pcapng.Packet)) pcapng.Packet {
	change(&p)
	return p
}

// httpPackets is docker asking dockerd.
func httpPackets() []pcapng.Packet {
	const path = "/run/docker.sock"
	docker, dockerd := endpoint("docker", 27806), endpoint("dockerd", 2434)
	head := "HEAD /_ping HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/27.5.1\r\n\r\n"
	ok := "HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 0\r\n\r\n"
	get := "GET /v1.47/containers/json HTTP/1.1\r\nHost: api.moby.localhost\r\n\r\n"
	list := "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]\n"
	event := func(n int, e pcapng.Event) pcapng.Packet {
		return with(message(n, docker, dockerd, path, ""), func(p *pcapng.Packet) { p.Event, p.Data = e, nil })
	}
	answer := func(n int, text string, offset uint64) pcapng.Packet {
		return with(message(n, dockerd, docker, path, text), func(p *pcapng.Packet) {
			p.Role, p.Offset = pcapng.RoleServer, offset
		})
	}
	return []pcapng.Packet{
		event(0, pcapng.EventConnect),
		event(20, pcapng.EventAccept),
		message(51, docker, dockerd, path, head),
		answer(1_300, ok, 0),
		with(message(2_000_877, docker, dockerd, path, get), func(p *pcapng.Packet) { p.Offset = uint64(len(head)) }),
		answer(2_003_000, list, uint64(len(ok))),
		event(3_700_123_456, pcapng.EventClose),
	}
}

// oddPackets has one of everything that a line can say of data, and hostile text
// wherever there is room for it.
func oddPackets() []pcapng.Packet {
	bus, client := endpoint("dbus-daemon", 611), endpoint("busctl", 4099)
	evil := endpoint("x[1] > \x1b[2J", 666)
	const log = "/run/systemd/journal/dev-log"
	call := "l\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x6d\x00\x00\x00\x01\x01o\x00\x15\x00\x00\x00/org/freedesktop/DBus\x00\x00\x00" +
		"\x06\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00\x03\x01s\x00\x05\x00\x00\x00Hello\x00\x00\x00"
	odd := func(n int, text string, change func(*pcapng.Packet)) pcapng.Packet {
		return with(message(n, client, bus, "/run/dbus/system_bus_socket", text), change)
	}
	return []pcapng.Packet{
		odd(0, call, func(p *pcapng.Packet) {}),
		odd(1, "\x00\x01\x02\x03", func(p *pcapng.Packet) {}),
		odd(2, "with files", func(p *pcapng.Packet) {
			p.FDCount = 2
			p.FDs = []pcapng.FD{{Num: 5, Kind: pcapng.FDFile, Name: "/etc/motd"}}
		}),
		odd(3, strings.Repeat("0123456789", 10), func(p *pcapng.Packet) { p.Truncated, p.Data = true, p.Data[:17] }),
		odd(4, "after a hole", func(p *pcapng.Packet) { p.Lost, p.DropCount = 4096, 3 }),
		odd(5, "after the filter", func(p *pcapng.Packet) { p.Skipped = 101 }),
		odd(6, "nobody reads", func(p *pcapng.Packet) { p.Stamp = pcapng.StampWaiting; p.Peer = pcapng.Endpoint{} }),
		odd(7, "who was it", func(p *pcapng.Packet) {
			p.Uncertain = pcapng.UncertainSender | pcapng.UncertainOrder
			p.Sender.Comm, p.Peer.PID = "", 0
		}),
		odd(8, strings.Repeat("ä", 101)+"\nnext", func(p *pcapng.Packet) {}),
		odd(9, "{\"a\": \"\\n\"}\ttab\n\x1b]0;title\x07\u202e\xff\r\nlast", func(p *pcapng.Packet) {
			p.Sender, p.Peer, p.Path = evil, evil, "/tmp/a b\n06:29:35.824132 c > d"
		}),
		odd(10, "\x1b[31mred\x1b[0m and \u202eback\n", func(p *pcapng.Packet) { p.Path = "@\x00\x9babstract" }),
		odd(11, "<14>Nov 24 06:29:35 me: hello\x00", func(p *pcapng.Packet) { p.Type, p.Path = pcapng.Datagram, log }),
		odd(12, "", func(p *pcapng.Packet) { p.Type, p.Path = pcapng.Datagram, "./@here" }),
		odd(13, "pair", func(p *pcapng.Packet) { p.Type, p.Path = pcapng.SeqPacket, "" }),
		odd(14, "", func(p *pcapng.Packet) { p.Event, p.Errno, p.Peer = pcapng.EventRefused, 111, pcapng.Endpoint{} }),
		odd(15, "", func(p *pcapng.Packet) { p.Event, p.Errno, p.Peer = pcapng.EventRefused, 9999, pcapng.Endpoint{} }),
		odd(16, "", func(p *pcapng.Packet) { p.Event = pcapng.EventShutdown }),
	}
}

// floodPackets is 4,099 messages in a row.
func floodPackets() []pcapng.Packet {
	var all []pcapng.Packet
	for n := range 4099 {
		all = append(all, message(n, endpoint("writer", 7), endpoint("reader", 8), "/tmp/flood", fmt.Sprintf("message %d\n", n)))
	}
	return all
}
