package container

import (
	"strings"
	"testing"
)

var (
	id    = strings.Repeat("0123456789abcdef", 4)
	other = strings.Repeat("f", 64)
)

const uid = "123e4567-e89b-12d3-a456-426614174000"

func TestParse(t *testing.T) {
	for path, want := range map[string]Group{
		"":                                      {},
		"/":                                     {},
		"/system.slice/ssh.service":             {Unit: "ssh.service"},
		"/a:b/c.service":                        {Unit: "c.service"},
		"/docker/" + id:                         {Container: id},
		"/system.slice/docker-" + id + ".scope": {Container: id, Unit: "docker-" + id + ".scope"},
		"/docker/" + id + "/docker/" + other + "/init.scope": {Container: other, Unit: "init.scope"},
		"/docker/buildx/x":                                                        {},
		"/default/" + id:                                                          {Container: id},
		"/default/" + id[1:]:                                                      {},
		"/kubepods/besteffort/pod" + uid + "/" + id:                               {Container: id, PodUID: uid},
		"/kubepods/pod" + uid:                                                     {PodUID: uid},
		"/kubepods/podman":                                                        {},
		"/kubepods.slice/kubepods-burstable.slice":                                {},
		"/x.slice/x-pod123e4567_e89b_12d3_a456_426614174000.slice":                {},
		"/machine.slice/libpod-" + id + ".scope/container":                        {Container: id, Unit: "libpod-" + id + ".scope"},
		"/machine.slice/libpod-conmon-" + id + ".scope":                           {Unit: "libpod-conmon-" + id + ".scope"},
		"/kubepods.slice/crio-" + id + ".scope":                                   {Container: id, Unit: "crio-" + id + ".scope"},
		"/kubepods.slice/crio-conmon-" + id + ".scope":                            {Unit: "crio-conmon-" + id + ".scope"},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/x.service":       {Unit: "x.service"},
		"/user.slice/user-1000.slice/session-3.scope":                             {Unit: "session-3.scope"},
		"/user.slice/user-1000.slice/user@1000.service/u/docker-" + id + ".scope": {Container: id, Unit: "docker-" + id + ".scope"},
		"/machine.slice/systemd-nspawn@deb\\x2d12.service/payload/init.scope":     {Container: "deb-12", Named: true, Unit: "init.scope"},
		"/machine.slice/systemd-nspawn@deb.service/supervisor":                    {Unit: "systemd-nspawn@deb.service"},
		"/machine.slice/machine-web\\x2d1\\x.scope/payload":                       {Container: `web-1\x`, Named: true, Unit: "machine-web\\x2d1\\x.scope"},
		"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope":                          {Unit: "machine-qemu\\x2d1\\x2dvm.scope"},
		"/lxc/web/system.slice/nginx.service":                                     {Container: "web", Named: true, Unit: "nginx.service"},
		"/lxc.payload.web/x":                                                      {Container: "web", Named: true},
		"/lxc.payload/web":                                                        {Container: "web", Named: true},
		"/lxc.monitor.web":                                                        {},
		"/lxc/":                                                                   {},
		"/lxc/web/docker/" + id:                                                   {Container: id},
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod123e4567_e89b_12d3_a456_426614174000.slice/cri-containerd-" + id + ".scope": {
			Container: id, PodUID: uid, Unit: "cri-containerd-" + id + ".scope"},
	} {
		if got := Parse(path); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("/docker/" + id)
	f.Add(`/machine.slice/machine-\x2.scope/supervisor`)
	f.Add("/lxc.payload.\x1b[2J/kubepods-pod" + uid + ".slice")
	f.Fuzz(func(t *testing.T, path string) {
		g := Parse(path)
		if !g.Named && g.Container != "" && !isID(g.Container) || !strings.Contains(path, g.Unit) {
			t.Errorf("%q: %+v", path, g)
		}
	})
}
