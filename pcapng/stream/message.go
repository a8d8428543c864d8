package stream

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sockcap/sockcap/pcapng"
)

// maxSection is how long a message may be, decompressed: a Publisher's are far
// below it.
const maxSection = 4 << 20

// id is the identity of a message, its Nats-Msg-Id.
type id struct {
	run    string // 16 hexadecimal digits
	number uint64 // from 1 on
	before uint64 // packets in those before
}

func (i id) String() string { return fmt.Sprintf("%s-%d-%d", i.run, i.number, i.before) }

// parseID reads what id's String gives, and nothing else.
func parseID(text string) (id, error) {
	parts := strings.Split(text, "-")
	if len(parts) == 3 {
		number, err1 := strconv.ParseUint(parts[1], 10, 62)
		before, err2 := strconv.ParseUint(parts[2], 10, 62)
		i := id{parts[0], number, before}
		if err1 == nil && err2 == nil && number > 0 && len(i.run) == 16 && i.String() == text {
			return i, nil
		}
	}
	return id{}, fmt.Errorf("%w: id %.64q", ErrMessage, text)
}

// message is a section on its way to the server.
type message struct {
	id      id
	packets uint64
	body    []byte
}

// codec makes the bodies of messages from sections, and sections from those. It
// is for one goroutine.
type codec struct {
	zip   *zstd.Encoder
	unzip *zstd.Decoder
}

func newEncoder() (*codec, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	return &codec{zip: zip}, err
}

func newDecoder() (*codec, error) {
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSection))
	return &codec{unzip: unzip}, err
}

// body is the section compressed, or itself if that is not longer.
func (c *codec) body(section []byte) []byte {
	zipped := c.zip.EncodeAll(section, make([]byte, 0, len(section)/4))
	if len(zipped) < len(section) {
		return bytes.Clone(zipped) // without room behind it, for it may be held
	}
	return section
}

// section is what body was made from, by whoever. It fails with ErrMessage.
func (c *codec) section(body []byte) ([]byte, error) {
	if bytes.HasPrefix(body, []byte("\x28\xb5\x2f\xfd")) { // RFC 8878, section 3.1.1
		section, err := c.unzip.DecodeAll(body, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMessage, err)
		}
		body = section
	}
	if len(body) > maxSection {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, len(body), maxSection)
	}
	return body, nil
}

// decoded is a message that was read.
type decoded struct {
	host      string
	id        id
	stored    time.Time // by the server's clock
	section   pcapng.Section
	described pcapng.Interface
	packets   []*pcapng.Packet
}

// decode reads a message of this stream. What others have put there, or what
// tells of another host than its subject does, is ErrMessage.
func (c *codec) decode(stream, subject, msgID string, body []byte) (*decoded, error) {
	host, ok := hostOf(stream, subject)
	if !ok {
		return nil, fmt.Errorf("%w: no host has the subject %.80q", ErrMessage, subject)
	}
	i, err := parseID(msgID)
	if err != nil {
		return nil, err
	}
	section, err := c.section(body)
	if err != nil {
		return nil, err
	}
	r, err := pcapng.NewReader(bytes.NewReader(section))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	d := &decoded{host: host, id: i, section: r.Section()}
	for p, err := range r.Packets() {
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMessage, err)
		}
		d.packets = append(d.packets, p.Clone())
	}
	if all := r.Interfaces(); len(all) != 1 || !all[0].Of(host) {
		return nil, fmt.Errorf("%w: not of the one host %.80q, whose subject it has", ErrMessage, host)
	}
	d.described = r.Interface(0)
	return d, nil
}
