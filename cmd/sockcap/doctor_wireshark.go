package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/wireshark"
)

// examineWireshark looks whether Wireshark is there, and what it needs of ours.
// A capture needs neither. Under sudo it becomes the user who called it, whose
// Wireshark it is.
func (h *host) examineWireshark(ctx context.Context) []capture.Check {
	if _, err := becomeCaller(h); err != nil {
		return []capture.Check{notLooked(err)}
	}
	all := inPath("tshark")
	if len(all) == 0 {
		return []capture.Check{noTshark()}
	}
	version, err := tsharkVersion(ctx, all[0])
	if err != nil {
		return []capture.Check{notLooked(err)}
	}
	var folders wireshark.Folders
	for _, tshark := range all {
		personal, global, err := wireshark.AskFolders(ctx, tshark)
		if err != nil {
			return []capture.Check{foundTshark(all[0], version), notLooked(err)}
		}
		folders.Add(personal)
		folders.Add(global)
	}
	executable, err := os.Executable()
	if err != nil {
		return []capture.Check{foundTshark(all[0], version), notLooked(err)}
	}
	return []capture.Check{
		foundTshark(all[0], version),
		foundDissector(wireshark.FindDissectors(folders)),
		foundExtcap(wireshark.FindExtcaps(folders, executable)),
	}
}

// tsharkVersion is what a tshark calls itself: "4.4.5".
func tsharkVersion(ctx context.Context, tshark string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tsharkPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, tshark, "--version").Output()
	if err != nil {
		return "", &wireshark.Error{Op: "run", Name: tshark + " --version", Err: err}
	}
	first, _, _ := strings.Cut(string(out), "\n")
	for word := range strings.FieldsSeq(first) {
		if word[0] >= '0' && word[0] <= '9' {
			return strings.TrimRight(word, ".,"), nil
		}
	}
	return "", &wireshark.Error{Op: "run", Name: tshark + " --version", Err: errNoVersion}
}

// tsharkPatience is how long it may take. It can only fail.
const tsharkPatience = 30 * time.Second
