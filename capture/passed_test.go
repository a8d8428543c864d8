package capture

import (
	"bytes"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/bpf"
	"github.com/sockcap/sockcap/pcapng"
)

// TestDescriptor: what the kernel side says of a file, and what the record does.
func TestDescriptor(t *testing.T) {
	for _, c := range []struct {
		e     bpf.Passed
		names string
		want  pcapng.FD
	}{
		{bpf.Passed{Mode: unix.S_IFREG}, "passwd\x00etc\x00", pcapng.FD{Kind: pcapng.FDFile, Name: "/etc/passwd"}},
		{bpf.Passed{Mode: unix.S_IFDIR}, "", pcapng.FD{Kind: pcapng.FDFile, Name: "/"}},
		{bpf.Passed{Mode: unix.S_IFLNK, Flags: bpf.PathDeleted}, "l\x00", pcapng.FD{Kind: pcapng.FDFile, Name: "/l (deleted)"}},
		{bpf.Passed{Mode: unix.S_IFREG, Flags: bpf.PathCut}, "f\x00d\x00", pcapng.FD{Kind: pcapng.FDFile, Name: "d/f"}},
		{bpf.Passed{Mode: unix.S_IFCHR}, "null\x00dev\x00", pcapng.FD{Kind: pcapng.FDDevice, Name: "/dev/null"}},
		{bpf.Passed{Mode: unix.S_IFBLK}, "sda\x00dev\x00", pcapng.FD{Kind: pcapng.FDDevice, Name: "/dev/sda"}},
		{bpf.Passed{Mode: unix.S_IFIFO}, "fifo\x00", pcapng.FD{Kind: pcapng.FDPipe, Name: "/fifo"}},
		{bpf.Passed{Mode: unix.S_IFIFO, Magic: magicPipe, Inode: 17}, "", pcapng.FD{Kind: pcapng.FDPipe, Name: "17"}},
		{bpf.Passed{Mode: unix.S_IFSOCK, Magic: magicSocket, Inode: 18}, "", pcapng.FD{Kind: pcapng.FDSocket, Name: "18"}},
		{bpf.Passed{Mode: unix.S_IFSOCK}, "s\x00", pcapng.FD{Kind: pcapng.FDSocket, Name: "/s"}}, // O_PATH
		{bpf.Passed{Mode: unix.S_IFREG, Flags: bpf.PathLone}, "memfd:a/b\x00", pcapng.FD{Kind: pcapng.FDMemfd, Name: "a/b"}},
		{bpf.Passed{Mode: unix.S_IFREG, Flags: bpf.PathLone}, "memfd:\x00", pcapng.FD{Kind: pcapng.FDMemfd}},
		{bpf.Passed{Mode: unix.S_IFREG}, "memfd:x\x00", pcapng.FD{Kind: pcapng.FDFile, Name: "/memfd:x"}}, // of a file with that name
		{bpf.Passed{Mode: unix.S_IFREG, Flags: bpf.PathLone}, "SYSV00000000\x00", pcapng.FD{Kind: pcapng.FDFile, Name: "/SYSV00000000 (deleted)"}},
		{bpf.Passed{Pid: 77, Magic: magicAnonymous, Flags: bpf.PathLone}, "[pidfd]\x00", pcapng.FD{Kind: pcapng.FDPidfd, Name: "77"}},
		{bpf.Passed{Magic: magicAnonymous, Flags: bpf.PathLone}, "[eventfd]\x00", pcapng.FD{Name: "anon_inode:[eventfd]"}},
		{bpf.Passed{Magic: magicNamespace, Inode: 4026531840, Flags: bpf.PathLone}, "net\x00", pcapng.FD{Name: "net:[4026531840]"}},
		{bpf.Passed{Mode: 0xffffffff}, "\xff\x1b[2J\x00", pcapng.FD{Name: "/\xff\x1b[2J"}},
		{bpf.Passed{Number: pcapng.Unknown}, "a\x00", pcapng.FD{Num: pcapng.Unknown, Name: "/a"}},
	} {
		if got := descriptor(&c.e, []byte(c.names)); got != c.want {
			t.Errorf("%+v, %q: %+v, want %+v", c.e, c.names, got, c.want)
		}
	}
}

// passedUnit lets a passage of two files and the unit with that number pass.
func passedUnit(p *passages, number, unit uint64) {
	for i, name := range []string{"a\x00", "b\x00"} {
		p.learn(&bpf.Passed{What: bpf.PassedFile, Passage: number, Index: uint32(i), Mode: unix.S_IFREG}, []byte(name))
	}
	p.learn(&bpf.Passed{What: bpf.PassedUnit, Passage: number, Unit: unit, Count: 2}, nil)
}

// TestPassages: what is passed along goes to its unit, once, whatever comes
// between; what is lost of it does not go to another.
func TestPassages(t *testing.T) {
	p := newPassages()
	if got := p.with(1); got != nil {
		t.Errorf("got %+v of nothing", got)
	}
	passedUnit(&p, 7, 100)
	p.learn(&bpf.Passed{What: bpf.PassedUnit, Passage: 8, Unit: 101, Count: 3}, nil) // its files are lost
	p.learn(&bpf.Passed{What: bpf.PassedFile, Passage: 9}, []byte("c\x00"))          // its unit is not told of
	for unit, want := range map[uint64][]string{100: {"/a", "/b"}, 101: nil} {
		got := p.with(unit)
		if got == nil {
			t.Fatalf("nothing is passed along with %d", unit)
		}
		var names []string
		for _, fd := range got.fds {
			names = append(names, fd.Name)
		}
		if !reflect.DeepEqual(names, want) || got.count != uint32(max(len(want), 2+int(unit-100))) {
			t.Errorf("unit %d: %d descriptors, %q, want %q", unit, got.count, names, want)
		}
		if p.with(unit) != nil {
			t.Errorf("unit %d: passed along twice", unit)
		}
	}
	if got := p.with(102); got != nil {
		t.Errorf("got %+v of unit 102", got)
	}
}

// TestPassagesBound: many that no unit comes for do not grow without end.
func TestPassagesBound(t *testing.T) {
	p := newPassages()
	for i := range uint64(5 * maxPassages) {
		passedUnit(&p, i, i)
	}
	if n := len(p.files.young) + len(p.files.old) + len(p.units.young) + len(p.units.old); n > 4*maxPassages {
		t.Errorf("%d are remembered", n)
	}
	if p.with(5*maxPassages-1) == nil {
		t.Error("the newest is forgotten")
	}
}

// TestPassedNamesBound: nor do the longest of names, whether a unit comes or not.
func TestPassedNamesBound(t *testing.T) {
	name := bytes.Repeat(append(bytes.Repeat([]byte("x"), 254), 0), 16)
	const files = 253
	for _, comes := range []bool{false, true} {
		p := newPassages()
		last := uint64(3 * maxPassedNames / (files * len(name)))
		for number := range last + 1 {
			for i := range uint32(files) {
				p.learn(&bpf.Passed{What: bpf.PassedFile, Passage: number, Index: i, Mode: unix.S_IFREG}, name)
			}
			p.learn(&bpf.Passed{What: bpf.PassedUnit, Passage: number, Unit: number, Count: files}, nil)
			if comes && number < last {
				p.with(number)
			}
		}
		held := make(map[*passage]int)
		add := func(known *passage) {
			held[known] = 0
			for _, fd := range known.fds {
				held[known] += len(fd.Name)
			}
		}
		p.files.each(add)
		p.units.each(add)
		all := 0
		for _, n := range held {
			all += n
		}
		if most := 2*maxPassedNames + files*len(name); all > most {
			t.Errorf("names of %d bytes are remembered, at most %d", all, most)
		}
		if known := p.with(last); known == nil || len(known.fds) != files {
			t.Errorf("of the newest passage %+v is known", known)
		}
	}
}

// TestCredentials: what of them a packet tells.
func TestCredentials(t *testing.T) {
	own, other := pcapng.Cred{PID: 5, UID: 6, GID: 7}, pcapng.Cred{PID: 8, UID: 6, GID: 7}
	for _, c := range []struct {
		name   string
		flags  uint16
		passed *passage
		want   *pcapng.Cred
	}{
		{"nothing", 0, &passage{}, nil},
		{"own, by the sender's program", bpf.DataCredentials, nil, &own},
		{"own, asked for", 0, &passage{cred: &own, asked: true}, &own},
		{"own, not asked for", 0, &passage{cred: &own}, nil},
		{"another's, not asked for", 0, &passage{cred: &other}, &other},
		{"not asked for, sender unsure", bpf.DataUnsureSender, &passage{cred: &other}, nil},
		{"asked for, sender unsure", bpf.DataUnsureSender, &passage{cred: &other, asked: true}, &other},
		{"not asked for, sender unknown", bpf.DataNoSender, &passage{cred: &other}, nil},
	} {
		u := unit{passed: c.passed, head: &bpf.Data{}}
		u.head.Flags, u.head.Task = c.flags, bpf.Task{Pid: 5, Uid: 6, Gid: 7}
		var p pcapng.Packet
		(&Session{}).fillPassed(&p, &u)
		if !reflect.DeepEqual(p.Cred, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, p.Cred, c.want)
		}
	}
}
