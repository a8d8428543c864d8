package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestInputWaits: reading from a fifo, before and after its writer came, ends
// with the context.
func TestInputWaits(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	in, err := openInput(ctx, testHost(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if n, err := in.Read(make([]byte, 8)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a writer: read %d, %v", n, err)
	}

	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	in, err = openInput(ctx, testHost(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	w, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("text"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 8)
	if n, err := in.Read(got); string(got[:n]) != "text" {
		t.Errorf("with a writer: read %q, %v", got[:n], err)
	}
	cancel()
	if n, err := in.Read(got); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: read %d, %v", n, err)
	}
}
