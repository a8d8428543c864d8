package main

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"github.com/sockcap/sockcap/capture/snapshot"
	"github.com/sockcap/sockcap/pcapng"
)

// linkTable is what list prints.
func linkTable(links []snapshot.Link, names *userNames, ids bool) *table {
	t := &table{columns: []column{
		{title: "TYPE"}, {title: "STATE"}, {title: "QUEUE"}, {title: "USER"},
		{title: "PATH", flexible: true}, {title: "CLIENT", flexible: true}, {title: "SERVER", flexible: true},
	}}
	contained := false
	for i := range links {
		contained = contained || containerOf(links[i].Client) != "" || containerOf(links[i].Server) != ""
	}
	if contained {
		t.columns = append(t.columns[:4:4], append([]column{{title: "CONTAINER", flexible: true}}, t.columns[4:]...)...)
	}
	for i := range links {
		l := &links[i]
		row := []cell{
			{text: l.Any().Type.String()}, {text: stateWord(l.State)}, {text: queueWord(l)},
			{text: bothEnds(l, func(s *snapshot.Socket) string { return names.of(s.UID) })},
		}
		if contained {
			row = append(row, cell{text: bothEnds(l, containerOf)})
		}
		row = append(row, cell{text: string(appendAddress(nil, l.Address())), cut: cutLeft}, processes(l.Client), processes(l.Server))
		t.rows = append(t.rows, row)
		if ids {
			t.rest = append(t.rest, linkDetails(l))
		}
	}
	return t
}

// stateWord is a state as text and JSON name it.
func stateWord(s snapshot.LinkState) string {
	switch s {
	case snapshot.LinkEstablished:
		return "estab"
	case snapshot.LinkPending:
		return "pending"
	case snapshot.LinkClosed:
		return "closed"
	case snapshot.LinkUnconnected:
		return "unconn"
	case snapshot.LinkListening:
		return "listen"
	}
	return "other"
}

// queueWord is what waits: of a listener, connections of as many as may; else
// bytes that the server (>) and the client (<) have not read.
func queueWord(l *snapshot.Link) string {
	switch {
	case l.State == snapshot.LinkListening:
		return fmt.Sprintf("%d/%d", l.Server.Received, l.Server.Sent)
	case l.Client == nil:
		return strconv.FormatUint(uint64(l.Server.Received), 10)
	case l.Server == nil:
		return strconv.FormatUint(uint64(l.Client.Received), 10)
	}
	word := ""
	if l.Client.Received > 0 {
		word = fmt.Sprintf("<%d", l.Client.Received)
	}
	if l.Server.Received > 0 && l.Server.Peer == l.Client.Inode { // else others wait there too
		word += fmt.Sprintf(">%d", l.Server.Received)
	}
	if word == "" {
		return "0"
	}
	return word
}

// bothEnds is what is the same of both ends, or CLIENT>SERVER.
func bothEnds(l *snapshot.Link, of func(*snapshot.Socket) string) string {
	dash := func(s *snapshot.Socket) string {
		if word := of(s); word != "" {
			return word
		}
		return "-"
	}
	switch {
	case l.Client == nil:
		return dash(l.Server)
	case l.Server == nil:
		return dash(l.Client)
	}
	if client, server := dash(l.Client), dash(l.Server); client != server {
		return client + ">" + server
	}
	return dash(l.Server)
}

// containerOf is the name of the container that holds s, or its short id, as
// docker ps has both; empty if none does.
func containerOf(s *snapshot.Socket) string {
	if s == nil {
		return ""
	}
	for _, h := range s.Holders {
		if p := h.Process; p.Container != "" {
			return string(appendContainer(nil, p.ContainerName, p.Container))
		}
	}
	return ""
}

// processes is who holds a socket, each once.
func processes(s *snapshot.Socket) cell {
	if s == nil {
		return cell{text: "-"}
	}
	c := cell{cut: cutList}
	for i, h := range s.Holders {
		if i > 0 && s.Holders[i-1].Process == h.Process {
			continue
		}
		c.items = append(c.items, string(appendProcess(nil, &pcapng.Endpoint{PID: h.Process.PID, Comm: h.Process.Comm})))
	}
	if len(c.items) == 0 {
		return cell{text: "?"}
	}
	c.text = strings.Join(c.items, ",")
	return c
}

// linkDetails is what -e adds, as KEY=VALUE; of both ends CLIENT>SERVER.
func linkDetails(l *snapshot.Link) string {
	number := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatUint(n, 10)
	}
	var b []byte
	add := func(key string, of func(*snapshot.Socket) string) {
		if v := bothEnds(l, of); v != "-" {
			b = append(append(append(append(b, ' ', ' '), key...), '='), v...)
		}
	}
	add("inode", func(s *snapshot.Socket) string { return number(s.Inode) })
	add("netns", func(s *snapshot.Socket) string { return number(uint64(s.NetNS)) })
	add("file", fileWord)
	add("fd", func(s *snapshot.Socket) string {
		if len(s.Holders) == 0 {
			return ""
		}
		return strconv.FormatUint(uint64(s.Holders[0].FD), 10)
	})
	add("mem", func(s *snapshot.Socket) string {
		return fmt.Sprintf("r%d/%d,w%d/%d", s.Memory.Receive, s.Memory.ReceiveMax, s.Memory.Send, s.Memory.SendMax)
	})
	add("shutdown", func(s *snapshot.Socket) string { return shutdownWord(s.Shutdown) })
	add("unit", func(s *snapshot.Socket) string {
		if len(s.Holders) == 0 || s.Holders[0].Process.Unit == "" {
			return ""
		}
		return string(appendName(nil, s.Holders[0].Process.Unit))
	})
	return string(b)
}

// fileWord is DEVICE/INODE of a socket's file.
func fileWord(s *snapshot.Socket) string {
	if s.File == 0 {
		return ""
	}
	return fmt.Sprintf("%s/%d", deviceWord(s.Device), s.File)
}

// deviceWord is MAJOR:MINOR, as in /proc/PID/mountinfo.
func deviceWord(device uint32) string { return fmt.Sprintf("%d:%d", device>>20, device&(1<<20-1)) }

func shutdownWord(how uint8) string {
	switch how & 3 {
	case 1:
		return "read"
	case 2:
		return "write"
	case 3:
		return "both"
	}
	return ""
}

// userNames finds the names of users, once each.
type userNames struct {
	lookup  func(uid string) (*user.User, error)
	numeric bool
	known   map[uint32]string
}

// of is a user's name, or number, or "?".
func (n *userNames) of(uid uint32) string {
	if uid == pcapng.Unknown {
		return "?"
	}
	name, ok := n.known[uid]
	if ok {
		return name
	}
	name = strconv.FormatUint(uint64(uid), 10)
	if !n.numeric {
		if u, err := n.lookup(name); err == nil {
			name = string(appendName(nil, u.Username))
		}
	}
	if n.known == nil {
		n.known = make(map[uint32]string)
	}
	n.known[uid] = name
	return name
}
