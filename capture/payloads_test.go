package capture

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sockcap/sockcap/pcapng"
)

// TestPayloads: a payload stays as it was until it is dropped, in whatever order
// that happens; then its memory is used again.
func TestPayloads(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type kept struct {
		bytes []byte
		block *payloadBlock
		want  byte
	}
	var s payloads
	var all []kept
	blocks := make(map[*payloadBlock]bool)
	longest := bytes.Repeat([]byte("x"), pcapng.MaxPayload)
	for i := range 20_000 {
		payload := longest[:random.IntN(1<<random.IntN(18))]
		if i%1000 == 999 {
			payload = longest
		}
		for j := range payload {
			payload[j] = byte(i)
		}
		k := kept{want: byte(i)}
		k.bytes, k.block = s.keep(payload)
		if len(k.bytes) != len(payload) {
			t.Fatalf("%d bytes kept of %d", len(k.bytes), len(payload))
		}
		all, blocks[k.block] = append(all, k), true
		for len(all) > 7 {
			n := random.IntN(len(all))
			if !bytes.Equal(all[n].bytes, bytes.Repeat([]byte{all[n].want}, len(all[n].bytes))) {
				t.Fatalf("payload %d was changed", i)
			}
			s.drop(all[n].block)
			all = append(all[:n], all[n+1:]...)
		}
	}
	if len(blocks) > 40 {
		t.Errorf("%d blocks for at most 8 payloads", len(blocks))
	}
}

// TestPayloadsGivenBack: what a burst took is not kept.
func TestPayloadsGivenBack(t *testing.T) {
	var s payloads
	var all []*payloadBlock
	for range 2 * maxFreeBlocks {
		_, b := s.keep(make([]byte, payloadBlockSize))
		all = append(all, b)
	}
	for _, b := range all {
		s.drop(b)
	}
	if len(s.free) != maxFreeBlocks {
		t.Errorf("%d blocks are kept, want %d", len(s.free), maxFreeBlocks)
	}
}
