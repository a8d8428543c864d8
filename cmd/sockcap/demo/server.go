// Command demo is the web server that make demo captures: demo SOCKET.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
)

const (
	line     = "this line starts at byte %07d\n" // 32 bytes
	lineSize = 32
	download = 9_375 * lineSize // 300,000: more than one record holds
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo SOCKET")
		os.Exit(2)
	}
	l, err := net.Listen("unix", os.Args[1])
	if err == nil {
		err = http.Serve(l, handler())
	}
	fmt.Fprintln(os.Stderr, "demo: error:", err)
	os.Exit(1)
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hello from a Unix socket\n")
	})
	mux.HandleFunc("POST /notes", func(w http.ResponseWriter, r *http.Request) {
		note, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "{\"stored\":%d}\n", len(note))
	})
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		for b.Len() < download {
			fmt.Fprintf(&b, line, b.Len())
		}
		w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
		w.Write(b.Bytes()) // at once: io.WriteString would send pieces of 4 KiB
	})
	return mux
}
