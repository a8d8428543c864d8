package main

import (
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/pcapng"
)

// appendJSON appends p as one line with one flat object, as JSON.md specifies
// it: the fields have the dissector's names, and what is not known is left out,
// as is the host where all packets are of one. One output has one known.
func appendJSON(dst []byte, p *pcapng.Packet, host string, known *printedJSONEnds) []byte {
	o := object{append(dst, '{')}
	o.time("time", p.Time)
	o.name("host", host)
	o.word("event", p.Event.String())
	known.append(&o, p)
	if p.Event == pcapng.EventData {
		o.payload(p)
	} else {
		o.number("offset", p.Offset)
		o.number("message", p.Message)
	}
	o.rest(p)
	return append(o.dst, '}', '\n')
}

// object is a JSON object that is being appended to dst.
type object struct{ dst []byte }

// payload appends what only data has. Zero is a length and an offset too.
func (o *object) payload(p *pcapng.Packet) {
	o.count("offset", p.Offset)
	o.number("message", p.Message)
	o.id("message.len", p.MessageLen)
	o.count("len", uint64(p.Len))
	o.count("caplen", uint64(len(p.Data)))
	o.flag("truncated", p.Truncated)
	o.flag("continued", p.Continued)
	o.flag("more", p.More)
	o.word("stamp", p.Stamp.String())
	if len(p.Data) == 0 && p.Len > 0 {
		return // --redact: there is no payload to show
	}
	o.key("data")
	o.base64(p.Data)
	if utf8.Valid(p.Data) {
		o.key("text")
		o.dst = appendJSONString(o.dst, p.Data)
	}
}

// rest appends what few packets have.
func (o *object) rest(p *pcapng.Packet) {
	o.number("drop_count", p.DropCount)
	o.number("lost", p.Lost)
	o.number("skipped", p.Skipped)
	o.uncertain(p.Uncertain)
	if r := p.Reader; r != nil {
		o.number("reader.pid", uint64(r.PID))
		o.number("reader.tid", uint64(r.TID))
		o.name("reader.comm", r.Comm)
	}
	if p.Latency != 0 {
		o.key("latency")
		o.dst = appendSeconds(o.dst, p.Latency)
	}
	if p.Errno != 0 {
		o.number("errno", uint64(p.Errno))
		name := unix.ErrnoName(unix.Errno(p.Errno))
		o.known("error", name, name != "")
	}
	o.number("fd.count", uint64(p.FDCount))
	o.descriptors(p.FDs)
	if c := p.Cred; c != nil {
		o.count("cred.pid", uint64(c.PID))
		o.count("cred.uid", uint64(c.UID))
		o.count("cred.gid", uint64(c.GID))
	}
	o.number("secid", uint64(p.SecID))
	o.known("state", p.State.String(), p.State != 0)
	o.holders(p.Holders)
	if !p.OwnTime.IsZero() {
		o.time("own_time", p.OwnTime)
	}
}

// holders appends arrays of the same length, one for each property.
func (o *object) holders(holders []pcapng.Holder) {
	if len(holders) == 0 {
		return
	}
	raw := false
	array := func(key string, each func(h *pcapng.Holder)) {
		o.key(key)
		o.dst = append(o.dst, '[')
		for i := range holders {
			o.element()
			each(&holders[i])
		}
		o.dst = append(o.dst, ']')
	}
	id := func(n uint32) {
		if n == pcapng.Unknown {
			o.null()
		} else {
			o.dst = strconv.AppendUint(o.dst, uint64(n), 10)
		}
	}
	array("holder.end", func(h *pcapng.Holder) {
		word := "sender"
		if h.Peer {
			word = "peer"
		}
		o.dst = appendJSONString(o.dst, word)
	})
	array("holder.pid", func(h *pcapng.Holder) { o.dst = strconv.AppendUint(o.dst, uint64(h.PID), 10) })
	array("holder.uid", func(h *pcapng.Holder) { id(h.UID) })
	array("holder.gid", func(h *pcapng.Holder) { id(h.GID) })
	array("holder.comm", func(h *pcapng.Holder) {
		o.dst = appendJSONString(o.dst, h.Comm)
		raw = raw || !utf8.ValidString(h.Comm)
	})
	if !raw {
		return
	}
	array("holder.comm_raw", func(h *pcapng.Holder) {
		if utf8.ValidString(h.Comm) {
			o.null()
		} else {
			o.base64String(h.Comm)
		}
	})
}

// uncertain appends the words of the set; without Words, which allocates.
func (o *object) uncertain(u pcapng.Uncertain) {
	if u == 0 {
		return
	}
	o.key("uncertain")
	o.dst = append(o.dst, '[')
	if u&pcapng.UncertainSender != 0 {
		o.dst = append(o.dst, `"sender"`...)
	}
	if u&pcapng.UncertainOrder != 0 {
		o.element()
		o.dst = append(o.dst, `"order"`...)
	}
	o.dst = append(o.dst, ']')
}

// descriptors appends arrays of the same length, one for each property.
func (o *object) descriptors(fds []pcapng.FD) {
	if len(fds) == 0 {
		return
	}
	raw := false
	o.key("fd.num")
	o.dst = append(o.dst, '[')
	for i := range fds {
		o.element()
		if fds[i].Num == pcapng.Unknown {
			o.null()
		} else {
			o.dst = strconv.AppendUint(o.dst, uint64(fds[i].Num), 10)
		}
		raw = raw || !utf8.ValidString(fds[i].Name)
	}
	o.dst = append(o.dst, ']')
	o.key("fd.kind")
	o.dst = append(o.dst, '[')
	for i := range fds {
		o.element()
		o.dst = appendJSONString(o.dst, fds[i].Kind.String())
	}
	o.dst = append(o.dst, ']')
	o.key("fd.name")
	o.dst = append(o.dst, '[')
	for i := range fds {
		o.element()
		o.dst = appendJSONString(o.dst, fds[i].Name)
	}
	o.dst = append(o.dst, ']')
	if raw {
		o.rawNames(fds)
	}
}

func (o *object) rawNames(fds []pcapng.FD) {
	o.key("fd.name_raw")
	o.dst = append(o.dst, '[')
	for i := range fds {
		o.element()
		if utf8.ValidString(fds[i].Name) {
			o.null()
		} else {
			o.base64String(fds[i].Name)
		}
	}
	o.dst = append(o.dst, ']')
}

func (o *object) null() { o.dst = append(o.dst, "null"...) }

// element begins an array's element.
func (o *object) element() {
	if o.dst[len(o.dst)-1] != '[' {
		o.dst = append(o.dst, ',')
	}
}

// key begins a field. Keys are ours and need no escaping.
func (o *object) key(key string) {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(o.dst, '"')
	o.dst = append(o.dst, key...)
	o.dst = append(o.dst, '"', ':')
}

// count appends a number of which 0 is a value too.
func (o *object) count(key string, n uint64) {
	o.key(key)
	o.dst = strconv.AppendUint(o.dst, n, 10)
}

// number appends a number that is unknown, or does not apply, if 0.
func (o *object) number(key string, n uint64) {
	if n != 0 {
		o.count(key, n)
	}
}

// id appends a number that may be pcapng.Unknown.
func (o *object) id(key string, n uint32) {
	if n != pcapng.Unknown {
		o.count(key, uint64(n))
	}
}

// flag appends what is true.
func (o *object) flag(key string, set bool) {
	if set {
		o.key(key)
		o.dst = append(o.dst, "true"...)
	}
}

func (o *object) word(key, word string) {
	o.key(key)
	o.dst = appendJSONString(o.dst, word)
}

func (o *object) known(key, word string, known bool) {
	if known {
		o.word(key, word)
	}
}

// name appends a name that is not empty; one that is no UTF-8 escaped, and its
// bytes beside.
func (o *object) name(key, name string) {
	if name == "" {
		return
	}
	o.word(key, name)
	if utf8.ValidString(name) {
		return
	}
	o.key(key)
	o.dst = append(o.dst[:len(o.dst)-len(`":`)], `_raw":`...)
	o.base64String(name)
}

func (o *object) base64(data []byte) {
	o.dst = append(o.dst, '"')
	o.dst = base64.StdEncoding.AppendEncode(o.dst, data)
	o.dst = append(o.dst, '"')
}

// base64String is for names, of which few are not UTF-8.
func (o *object) base64String(name string) { o.base64([]byte(name)) }

func (o *object) time(key string, t time.Time) {
	o.key(key)
	o.dst = append(o.dst, '"')
	o.dst = appendDate(o.dst, t.UTC(), 'T')
	o.dst = appendFraction(o.dst, t.Nanosecond(), 9)
	o.dst = append(o.dst, 'Z', '"')
}

// appendSeconds appends d in seconds, exactly.
func appendSeconds(dst []byte, d time.Duration) []byte {
	if d < 0 {
		dst, d = append(dst, '-'), -d
	}
	dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
	return appendFraction(dst, int(d%time.Second), 9)
}

// appendJSONString appends text as a JSON string that no terminal acts on:
// what is not printable is escaped, as JSON lets one escape anything, so that
// whoever parses it gets the same text. A byte that is no UTF-8 becomes the
// four characters \xff.
func appendJSONString[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		if n := plainRun(text[i:]); n > 0 {
			dst = append(dst, text[i:i+n]...)
			i += n
			continue
		}
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n' || c == '\r' || c == '\t':
			dst = appendControl(dst, c)
		case c < utf8.RuneSelf:
			dst = appendUnicodeEscape(dst, rune(c))
		default:
			var size int
			dst, size = appendJSONRune(dst, string(text[i:min(i+utf8.UTFMax, len(text))]))
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

// appendJSONRune appends the first character of text and says how many bytes
// it took.
func appendJSONRune(dst []byte, text string) ([]byte, int) {
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case r == utf8.RuneError && size == 1:
		return appendHexEscape(append(dst, '\\'), text[0]), 1
	case strconv.IsPrint(r):
		return append(dst, text[:size]...), size
	case r < 0x10000:
		return appendUnicodeEscape(dst, r), size
	}
	r -= 0x10000
	dst = appendUnicodeEscape(dst, 0xd800+r>>10)
	return appendUnicodeEscape(dst, 0xdc00+r&0x3ff), size
}

// appendUnicodeEscape appends \u and the four digits of a UTF-16 unit.
func appendUnicodeEscape(dst []byte, unit rune) []byte {
	dst = append(dst, '\\', 'u')
	dst = append(dst, hexByte(byte(unit>>8))...)
	return append(dst, hexByte(byte(unit))...)
}
