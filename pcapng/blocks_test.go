package pcapng

import (
	"encoding/binary"
	"time"
)

// file is a second writing of pcapng, for what our writer does not write.
type file struct {
	bytes []byte
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
}

// option is one of a block.
type option struct {
	code  uint16
	value []byte
}

func (f *file) block(kind uint32, body []byte, options ...option) *file {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	for _, o := range options {
		body = f.order.AppendUint16(body, o.code)
		body = f.order.AppendUint16(body, uint16(len(o.value)))
		body = append(body, o.value...)
		for len(body)%4 != 0 {
			body = append(body, 0xee)
		}
	}
	if len(options) > 0 {
		body = append(body, 0, 0, 0, 0)
	}
	n := uint32(len(body) + 12)
	f.bytes = f.order.AppendUint32(f.bytes, kind)
	f.bytes = f.order.AppendUint32(f.bytes, n)
	f.bytes = append(f.bytes, body...)
	f.bytes = f.order.AppendUint32(f.bytes, n)
	return f
}

// section begins one whose version is 1.minor.
func (f *file) section(minor uint16, options ...option) *file {
	body := f.order.AppendUint32(nil, 0x1a2b3c4d)
	body = f.order.AppendUint16(body, 1)
	body = f.order.AppendUint16(body, minor)
	return f.block(0x0a0d0d0a, f.order.AppendUint64(body, 1<<64-1), options...)
}

func (f *file) iface(linkType uint16, options ...option) *file {
	body := f.order.AppendUint16(nil, linkType)
	body = f.order.AppendUint16(body, 0)
	return f.block(1, f.order.AppendUint32(body, 262144), options...)
}

// stamp is a timestamp, its upper half first.
func (f *file) stamp(ticks uint64) []byte {
	return f.order.AppendUint32(f.order.AppendUint32(nil, uint32(ticks>>32)), uint32(ticks))
}

func (f *file) packet(iface uint32, ticks uint64, rec []byte, original int, options ...option) *file {
	body := append(f.order.AppendUint32(nil, iface), f.stamp(ticks)...)
	body = f.order.AppendUint32(body, uint32(len(rec)))
	body = f.order.AppendUint32(body, uint32(original))
	return f.block(6, append(body, rec...), options...)
}

func (f *file) u64(v uint64) []byte { return f.order.AppendUint64(nil, v) }

// nanos is t in ticks of 10^-9 s.
func nanos(t time.Time) uint64 { return uint64(t.UnixNano()) }
