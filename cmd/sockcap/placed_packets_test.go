package main

import (
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// placedPackets is a server that is older than the capture, and a client in a
// container that asks it: who holds the socket, where both run, as what, and
// what is passed along. Hostile text is wherever a container's or a process's
// owner may put it.
func placedPackets() []pcapng.Packet {
	client, master, worker := endpoint("php", 5001), endpoint("mysqld", 5100), endpoint("mysqld", 5102)
	worker.TID, worker.Thread = 5103, "conn\x1b]0;7"
	const path = "/run/mysqld/mysqld.sock"
	id := "4f2a0c1b5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708"
	there := pcapng.Place{Exe: "/usr/sbin/mysqld", Cgroup: "/system.slice/mysqld.service", Unit: "mysqld.service"}
	ask := message(2, client, worker, path, "select 1")
	ask.Exe, ask.Cgroup = "/usr/bin/php", "/docker/"+id
	ask.Container, ask.ContainerName, ask.Pod = id, "web\x1b[2J", "shop/web-0"
	ask.NSPID, ask.Cmdline, ask.PeerPlace = 7, "php\x00-r\x00print \"\x1b[31m\"\x00\xff", there
	ask.FDCount, ask.FDs = 1, []pcapng.FD{{Num: 9, Kind: pcapng.FDMemfd, Name: "rows\u202e"}}
	ask.Cred, ask.SecID = &pcapng.Cred{PID: 1, UID: 0, GID: 1000}, 42
	return []pcapng.Packet{
		{
			Time: at(0), Event: pcapng.EventSnapshot, Type: pcapng.Stream, Role: pcapng.RoleServer, State: pcapng.StateListening,
			Sender: master, Peer: pcapng.Endpoint{UID: pcapng.Unknown, GID: pcapng.Unknown}, Path: path,
			Holders: []pcapng.Holder{{PID: 5100, UID: 1000, GID: 1000, Comm: "mysqld"}, {PID: 5102, UID: pcapng.Unknown, GID: pcapng.Unknown, Comm: "x > y\x1b["}},
		},
		{
			Time: at(1), Event: pcapng.EventSnapshot, Type: pcapng.Stream, Role: pcapng.RoleClient, State: pcapng.StateConnected,
			Sender: client, Peer: master, Path: path, ConnID: 7,
			Holders: []pcapng.Holder{{Peer: true, PID: 5100, UID: 1000, GID: 1000, Comm: "mysqld"}, {Peer: true, PID: 5102, UID: 1000, GID: 1000, Comm: "mysqld"}},
		},
		ask,
		with(message(3, client, worker, path, ""), func(p *pcapng.Packet) {
			p.Event, p.Len, p.Data, p.Message, p.Latency = pcapng.EventRead, 0, nil, 3, 3*time.Millisecond
			p.Reader = &pcapng.Endpoint{PID: worker.PID, TID: worker.TID, Comm: worker.Comm} // all that a record has
		}),
		with(message(4, worker, client, path, "1"), func(p *pcapng.Packet) {
			p.Role, p.Exe, p.Cgroup, p.Unit = pcapng.RoleServer, there.Exe, there.Cgroup, there.Unit
			p.PeerPlace = pcapng.Place{Exe: ask.Exe, Cgroup: ask.Cgroup, Container: id, ContainerName: ask.ContainerName, Pod: ask.Pod}
		}),
	}
}
