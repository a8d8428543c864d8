package stream

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sockcap/sockcap/pcapng"
)

// sectionOf is a section of this host with so many packets.
func sectionOf(t testing.TB, host string, packets int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapng.NewWriter(&b, pcapng.Options{Host: host, Hooks: "fentry"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range packets {
		p := pcapng.Packet{Time: time.Unix(int64(n), 0), Event: pcapng.EventData, Type: pcapng.Stream, ConnID: 7, Len: 7, Data: []byte("payload")}
		if err := w.WritePacket(&p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const testID = "0123456789abcdef-7-101"

func codecs(t testing.TB) (zip, unzip *codec) {
	t.Helper()
	zip, err := newEncoder()
	if err != nil {
		t.Fatal(err)
	}
	if unzip, err = newDecoder(); err != nil {
		t.Fatal(err)
	}
	return zip, unzip
}

// TestDecode: a message is what was put into it, compressed or not.
func TestDecode(t *testing.T) {
	zip, unzip := codecs(t)
	section := sectionOf(t, "a.b", 101)
	body := zip.body(section)
	if len(body) >= len(section)/2 {
		t.Errorf("%d bytes are %d, compressed", len(section), len(body))
	}
	for _, body := range [][]byte{section, body} {
		d, err := unzip.decode("S", "S.a.b", testID, body)
		if err != nil || len(d.packets) != 101 || d.host != "a.b" || d.id != (id{"0123456789abcdef", 7, 101}) {
			t.Errorf("%+v, %v", d, err)
		}
	}
	if short := []byte("a"); string(zip.body(short)) != "a" {
		t.Error("what does not get shorter is compressed all the same")
	}
}

// TestDecodeHostile: what is no message of the host whose subject it has is
// ErrMessage, and takes no memory.
func TestDecodeHostile(t *testing.T) {
	_, unzip := codecs(t)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	good := sectionOf(t, "a", 3)
	two := append(bytes.Clone(good), sectionOf(t, "b", 3)...)
	bomb := z.EncodeAll(make([]byte, 64<<20), nil)
	for name, m := range map[string]struct{ subject, id, body string }{
		"empty":             {"S.a", testID, ""},
		"garbage":           {"S.a", testID, "garbage"},
		"cut off":           {"S.a", testID, string(good[:len(good)-1])},
		"bomb":              {"S.a", testID, string(bomb)},
		"long":              {"S.a", testID, string(good) + strings.Repeat("\x00", maxSection)},
		"broken zstd":       {"S.a", testID, "\x28\xb5\x2f\xfdgarbage"},
		"another host":      {"S.b", testID, string(good)},
		"beginning of name": {"S", testID, string(good)},
		"two hosts":         {"S.a", testID, string(two)},
		"no host":           {"S.a", testID, string(good[:28])},
		"no id":             {"S.a", "", string(good)},
		"negative":          {"S.a", "0123456789abcdef--1-0", string(good)},
		"zero":              {"S.a", "0123456789abcdef-0-0", string(good)},
		"huge":              {"S.a", "0123456789abcdef-99999999999999999999-0", string(good)},
		"other digits":      {"S.a", "0123456789abcdef-07-0", string(good)},
		"short run":         {"S.a", "0123456789abcde-7-0", string(good)},
	} {
		if d, err := unzip.decode("S", m.subject, m.id, []byte(m.body)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %+v, %v, want ErrMessage", name, d, err)
		}
	}
}

// FuzzDecode: no message makes anything but packets or an error.
func FuzzDecode(f *testing.F) {
	zip, unzip := codecs(f)
	section := sectionOf(f, "a", 3)
	f.Add("S.a", testID, section)
	f.Add("S.a", testID, zip.body(section))
	f.Add("S.a%2E", testID, sectionOf(f, "a.", 1))
	f.Add("S.b", "garbage", []byte("garbage"))
	f.Fuzz(func(t *testing.T, subject, text string, body []byte) {
		d, err := unzip.decode("S", subject, text, body)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		if subjectOf("S", d.host) != subject || d.id.String() != text || !d.described.Of(d.host) {
			t.Fatalf("%q with id %q is %q of %q, described as %q", subject, text, d.id, d.host, d.described.Description)
		}
		m := new(merge)
		m.begin(time.Second, 1<<20)
		d.stored = time.Unix(1, 0)
		if _, err := m.add(d, len(body)); err != nil {
			t.Fatal(err)
		}
		count := 0
		m.flush(func(p *pcapng.Packet, _ error) bool { count++; return true })
		if count != len(d.packets) || m.held != 0 {
			t.Fatalf("%d packets came of %d, %d bytes are held", count, len(d.packets), m.held)
		}
	})
}
