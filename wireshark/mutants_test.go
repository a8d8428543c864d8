package wireshark_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
)

// mutants is how many mutated files one run of the tests makes: CI runs them in
// three versions of tshark, so that these see 5,000 and more in all.
const mutants = 1700

// SOCKCAP_MUTANTS and SOCKCAP_SEED give a longer run, and the same one again.
func mutantRun(t *testing.T) (n int, seed uint64) {
	t.Helper()
	n, seed = mutants, uint64(time.Now().UnixNano())
	var err error
	if text := os.Getenv("SOCKCAP_MUTANTS"); text != "" {
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("SOCKCAP_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SOCKCAP_MUTANTS=%d SOCKCAP_SEED=%d", n, seed)
	return n, seed
}

// goldenRecords gives the records of a capture file.
func goldenRecords(t *testing.T, name string) (records [][]byte) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for {
		record, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		records = append(records, record)
	}
}

func goldenFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../testdata/capture/*.pcapng")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	return files
}

// seedCaptures are the records of every golden capture, and of one for each
// protocol that the dissector knows.
func seedCaptures(t *testing.T) (captures [][][]byte) {
	t.Helper()
	for _, name := range goldenFiles(t) {
		captures = append(captures, goldenRecords(t, name))
	}
	p := full()
	captures = append(captures, [][]byte{appendRecord(nil, &p)})
	for _, e := range protocolExchanges() {
		var records [][]byte
		for i := range e.packets {
			records = append(records, appendRecord(nil, &e.packets[i]))
		}
		captures = append(captures, records)
	}
	return captures
}

// mutate changes a record in one to three places, where it hurts.
func mutate(r *rand.Rand, b []byte) []byte {
	b = append([]byte(nil), b...)
	for range 1 + r.IntN(3) {
		if len(b) < 92 {
			break
		}
		switch r.IntN(6) {
		case 0:
			b = b[:r.IntN(len(b))]
		case 1:
			b[r.IntN(len(b))] = byte(r.Uint32())
		case 2:
			b[r.IntN(88)] = []byte{0, 1, 0x7f, 0x80, 0xff}[r.IntN(5)]
		case 3:
			binary.BigEndian.PutUint16(b[2:], uint16(r.IntN(len(b)+2)))
		case 4: // an option's length
			binary.BigEndian.PutUint16(b[90:], uint16(r.Uint32()>>r.IntN(32)))
		case 5:
			b[88+r.IntN(len(b)-88)] ^= 1 << r.IntN(8)
		}
	}
	return b
}

// mutantFile is some records of a capture that follow each other, one to four of
// them mutated, in a pcapng section of their own. Its connections are no other
// file's: tcp would take their bytes for sent again, and show them to nobody.
func mutantFile(r *rand.Rand, capture [][]byte, number int) (file []byte, count int) {
	const most = 12
	first := r.IntN(len(capture))
	part := capture[first:min(len(capture), first+most)]
	records, lens := make([][]byte, len(part)), make([]uint32, len(part))
	for i, record := range part {
		record = bytes.Clone(record)
		if len(record) >= 88 {
			binary.BigEndian.PutUint32(record[56:], uint32(number))
		}
		records[i], lens[i] = record, uint32(len(record))
	}
	for range 1 + r.IntN(4) {
		i := r.IntN(len(records))
		records[i] = mutate(r, records[i])
		lens[i] = uint32(len(records[i]) + r.IntN(2)*r.IntN(1<<16))
	}
	return captureFile(records, lens, epoch.Add(time.Duration(number)*time.Second)), len(records)
}

// Starting tshark takes longer than showing a small file. So many files are one
// after the other in one, as pcapng allows: each is a section of its own, with
// its own interface. What breaks the blocks themselves would hide all that
// follows: see TestMutatedBlocksNeverFailInLua.
func TestMutatedFilesNeverFailInLua(t *testing.T) {
	t.Parallel()
	const together = 425
	n, seed := mutantRun(t)
	r := rand.New(rand.NewPCG(seed, 1))
	captures := seedCaptures(t)
	s := newShark(t)
	s.spoiled = true
	for done := 0; done < n; {
		var files bytes.Buffer
		records := 0
		for range min(together, n-done) {
			file, count := mutantFile(r, captures[r.IntN(len(captures))], done)
			files.Write(file)
			records += count
			done++
		}
		name := fmt.Sprintf("mutants%d.pcapng", done)
		s.write(t, name, files.Bytes())
		if got := s.count(t, name, "frame"); got != records {
			t.Errorf("%s: tshark read %d records of %d", name, got, records)
		}
	}
}

// blockStarts are the offsets of a pcapng file's blocks.
func blockStarts(file []byte) (starts []int) {
	for at := 0; at+12 <= len(file); {
		starts = append(starts, at)
		n := int(binary.LittleEndian.Uint32(file[at+4:]))
		if n < 12 {
			break
		}
		at += n
	}
	return starts
}

// mutateBlocks changes a file in one to three places of its block structure:
// types, lengths, what an interface or a packet says of itself, options; or it
// cuts the file off.
func mutateBlocks(r *rand.Rand, file []byte) []byte {
	file = bytes.Clone(file)
	starts := blockStarts(file)
	for range 1 + r.IntN(3) {
		at := starts[r.IntN(len(starts))]
		block := file[at:]
		switch r.IntN(5) {
		case 0:
			block[r.IntN(min(8, len(block)))] ^= 1 << r.IntN(8)
		case 1: // its fields: link type, snaplen, interface, time, lengths
			block[r.IntN(min(28, len(block)))] = byte(r.Uint32())
		case 2: // anywhere, options included
			block[r.IntN(min(len(block), 512))] = byte(r.Uint32())
		case 3: // the length at its end, or close to it
			if n := int(binary.LittleEndian.Uint32(block[4:])); n >= 12 && n <= len(block) {
				block[n-1-r.IntN(8)] ^= 1 << r.IntN(8)
			}
		case 4:
			if at > 0 {
				return file[:at+r.IntN(len(block))]
			}
		}
	}
	return file
}

// tshark may refuse such a file; it must not crash, nor meet a Lua error before.
func TestMutatedBlocksNeverFailInLua(t *testing.T) {
	t.Parallel()
	n, seed := mutantRun(t)
	r := rand.New(rand.NewPCG(seed, 2))
	files := goldenFiles(t)
	s := newShark(t)
	for i := range max(1, n/50) {
		name := files[r.IntN(len(files))]
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, "blocks.pcapng", mutateBlocks(r, whole[:min(len(whole), 100_000)]))
		cmd := s.command(true, "-r", s.path("blocks.pcapng"), "-V")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || !cmd.ProcessState.Exited() {
			t.Errorf("file %d, of %s: tshark: %v\n%.2000s", i, name, err, out)
		}
		for _, sign := range luaErrors {
			if at := bytes.Index(out, []byte(sign)); at >= 0 {
				t.Errorf("file %d, of %s: %.300s", i, name, out[at:])
			}
		}
	}
}
