package snapshot

import (
	"strings"
	"testing"
)

func TestCgroup(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	other := strings.Repeat("f", 64)
	for _, c := range []struct{ text, path, container, unit string }{
		{"0::/system.slice/docker-" + id + ".scope\n", "/system.slice/docker-" + id + ".scope", id, "docker-" + id + ".scope"},
		{"0::/docker/" + id + "\n", "/docker/" + id, id, ""},
		{"0::/docker/" + id + "/docker/" + other + "/init.scope\n", "/docker/" + id + "/docker/" + other + "/init.scope", other, "init.scope"},
		{"0::/kubepods/besteffort/pod123e4567-e89b/" + id + "\n", "/kubepods/besteffort/pod123e4567-e89b/" + id, id, ""},
		{"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope\n", "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope", id, "cri-containerd-" + id + ".scope"},
		{"0::/kubepods.slice/crio-" + id + ".scope\n", "/kubepods.slice/crio-" + id + ".scope", id, "crio-" + id + ".scope"},
		{"0::/machine.slice/libpod-" + id + ".scope/container\n", "/machine.slice/libpod-" + id + ".scope/container", id, "libpod-" + id + ".scope"},
		{"0::/machine.slice/libpod-conmon-" + id + ".scope\n", "/machine.slice/libpod-conmon-" + id + ".scope", "", "libpod-conmon-" + id + ".scope"},
		{"0::/default/" + id[1:] + "\n", "/default/" + id[1:], "", ""},
		{"0::/system.slice/ssh.service\n", "/system.slice/ssh.service", "", "ssh.service"},
		{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "", "x.service"},
		{"12:pids:/docker/" + id + "\n3:cpu,cpuacct:/\n1:name=systemd:/system.slice/a.service\n0::/\n", "/system.slice/a.service", id, "a.service"},
		{"2:memory:/a/b\n1:name=systemd:/\n0::/\n", "/a/b", "", ""},
		{"0::/\n", "/", "", ""}, {"", "", "", ""}, {"junk\n\n:\n1:2\n", "", "", ""}, {"0::/a:b/c.service", "/a:b/c.service", "", "c.service"},
	} {
		path, group := cgroup(c.text)
		if path != c.path || group.Container != c.container || group.Unit != c.unit {
			t.Errorf("%q: %q, %+v, want %q, %q, %q", c.text, path, group, c.path, c.container, c.unit)
		}
	}
}

func FuzzCgroup(f *testing.F) {
	f.Add("0::/docker/" + strings.Repeat("0123456789abcdef", 4) + "\n1:name=systemd:/a\n")
	f.Add(":::\n")
	f.Fuzz(func(t *testing.T, text string) {
		path, group := cgroup(text)
		if !strings.Contains(text, path) || !strings.Contains(text, group.Unit) {
			t.Errorf("%q: %q, %+v", text, path, group)
		}
	})
}
