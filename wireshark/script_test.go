package wireshark_test

import (
	_ "embed"
	"os/exec"
	"strings"
	"testing"

	"github.com/sockcap/sockcap/wireshark"
)

//go:embed testdata/globals.lua
var globals []byte

func TestScriptAddsNoGlobal(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	script := wireshark.Dissector()
	s.write(t, "inner.lua", script)
	s.write(t, wireshark.DissectorName, globals)
	s.write(t, "empty.pcapng", captureFile(nil, nil, epoch))
	compare := func() string {
		_, errs := s.start(t, "-r", s.path("empty.pcapng"), "-X", "lua_script1:"+s.path("inner.lua"))
		return errs
	}
	errs := compare()
	if strings.Contains(errs, "global ") || strings.Contains(errs, "Lua:") || !strings.Contains(errs, "globals compared") {
		t.Errorf("loading sockcap.lua:\n%s", errs)
	}
	s.write(t, "inner.lua", append([]byte("stray = 1\n"), script...))
	if errs := compare(); !strings.Contains(errs, "global changed: stray") {
		t.Errorf("the comparison does not see a global:\n%s", errs)
	}
}

// The plugin folder and -X lua_script may both name the script.
func TestLoadedTwice(t *testing.T) {
	t.Parallel()
	s := newShark(t)
	s.write(t, "again.lua", wireshark.Dissector())
	c := converse("/run/docker.sock", 1)
	c.send(client, httpRequest("/"), large)
	s.capture(t, "twice.pcapng", c.packets...)
	out := s.run(t, "-r", s.path("twice.pcapng"), "-X", "lua_script:"+s.path("again.lua"), "-Y", "http.request")
	if strings.Count(out, "\n") != 1 {
		t.Errorf("http requests:\n%s", out)
	}
}

func TestLuacheck(t *testing.T) {
	t.Parallel()
	luacheck, err := exec.LookPath("luacheck")
	if err != nil {
		t.Fatalf("%v: install lua-check: make test does", err)
	}
	cmd := exec.Command(luacheck, "--no-color", "--no-cache", "wireshark/"+wireshark.DissectorName)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("luacheck: %v\n%s", err, out)
	}
}
