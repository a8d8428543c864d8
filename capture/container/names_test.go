package container

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree writes files below a folder of its own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// opened is a folder as the only root.
func opened(t *testing.T, dir string) []*Root {
	t.Helper()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.dir.Close() })
	return []*Root{r}
}

// TestNames: the files of each engine, as it writes them.
func TestNames(t *testing.T) {
	const tasks = "run/containerd/io.containerd.runtime.v2.task/"
	for engine, c := range map[string]struct {
		files map[string]string
		want  Name
	}{
		"docker": {map[string]string{"var/lib/docker/containers/" + id + "/config.v2.json": `{"State":{"Running":true},"ID":"` + id + `","Name":"/web","Config":{"Hostname":"x","Labels":{}}}`},
			Name{Name: "web"}},
		"docker elsewhere": {map[string]string{"etc/docker/daemon.json": `{"data-root": "/srv/docker"}`,
			"srv/docker/containers/" + id + "/config.v2.json": `{"Name":"/web"}`},
			Name{Name: "web"}},
		"cri-dockerd": {map[string]string{"var/lib/docker/containers/" + id + "/config.v2.json": `{"Name":"/k8s_nginx_web-1_shop_uid_0","Config":{"Labels":{` +
			`"io.kubernetes.container.name":"nginx","io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop"}}}`},
			Name{"nginx", "shop/web-1"}},
		"containerd": {map[string]string{tasks + "k8s.io/" + id + "/config.json": `{"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.container-type":"container",` +
			`"io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.sandbox-name":"web-1","io.kubernetes.cri.sandbox-namespace":"shop"}}`},
			Name{"nginx", "shop/web-1"}},
		"containerd's pause": {map[string]string{tasks + "k8s.io/" + id + "/config.json": `{"annotations":{"io.kubernetes.cri.container-type":"sandbox",` +
			`"io.kubernetes.cri.sandbox-name":"web-1","io.kubernetes.cri.sandbox-namespace":"shop"}}`},
			Name{"", "shop/web-1"}},
		"k3s": {map[string]string{"run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" + id + "/config.json": `{"annotations":{` +
			`"io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.sandbox-name":"web-1","io.kubernetes.cri.sandbox-namespace":"shop"}}`},
			Name{"nginx", "shop/web-1"}},
		"nerdctl": {map[string]string{tasks + "default/" + id + "/config.json": `{"annotations":{"nerdctl/name":"web"}}`},
			Name{Name: "web"}},
		"CRI-O": {map[string]string{"run/containers/storage/overlay-containers/" + id + "/userdata/config.json": `{"annotations":{` +
			`"io.kubernetes.container.name":"nginx","io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop"}}`},
			Name{"nginx", "shop/web-1"}},
		"podman": {map[string]string{"var/lib/containers/storage/overlay-containers/" + id + "/userdata/config.json": `{"annotations":{"io.container.manager":"libpod"}}`,
			"var/lib/containers/storage/overlay-containers/containers.json": `[{"id":"` + other + `","names":["db"]},{"id":"` + id + `","names":["web","w"],"metadata":"{}"}]`},
			Name{Name: "web"}},
		"podman, until the next boot": {map[string]string{"run/containers/storage/overlay-containers/volatile-containers.json": `[{"id":"` + id + `","names":["web"]}]`},
			Name{Name: "web"}},
		"none": {nil, Name{}},
		"damaged": {map[string]string{"var/lib/docker/containers/" + id + "/config.v2.json": `{"Name":"/we`,
			tasks + "k8s.io/" + id + "/config.json":                         `{"annotations":[]}`,
			"var/lib/containers/storage/overlay-containers/containers.json": `[{"id":"` + id + `","names":[]},7]`},
			Name{}},
		"hostile": {map[string]string{"var/lib/docker/containers/" + id + "/config.v2.json": `{"Name":"/` + strings.Repeat("x", 300) + `"}`},
			Name{Name: strings.Repeat("x", maxName)}},
	} {
		n := newNames(opened(t, tree(t, c.files)), time.Now)
		if got := n.Of(Group{Container: id}); got != c.want {
			t.Errorf("%s: %+v, want %+v", engine, got, c.want)
		}
	}
}

// TestNamesOfOthers: what has no files to look into.
func TestNamesOfOthers(t *testing.T) {
	n := newNames(nil, time.Now)
	for g, want := range map[Group]Name{
		{}:                                 {},
		{Container: "web", Named: true}:    {Name: "web"},
		{PodUID: uid}:                      {Pod: uid},
		{Container: id, PodUID: uid}:       {Pod: uid},
		{Container: "../../../etc/passwd"}: {},
	} {
		if got := n.Of(g); got != want {
			t.Errorf("%+v: %+v, want %+v", g, got, want)
		}
	}
}

// TestNamesOfHost: what our own file system does not tell, the host's does.
func TestNamesOfHost(t *testing.T) {
	own := tree(t, map[string]string{"var/lib/docker/containers/" + id + "/config.v2.json": `{"Name":"/own"}`})
	host := tree(t, map[string]string{"var/lib/docker/containers/" + id + "/config.v2.json": `{"Name":"/host"}`,
		"var/lib/docker/containers/" + other + "/config.v2.json": `{"Name":"/other"}`})
	n := newNames(append(opened(t, own), opened(t, host)...), time.Now)
	for id, want := range map[string]string{id: "own", other: "other"} {
		if got := n.Of(Group{Container: id}); got.Name != want {
			t.Errorf("%q, want %q", got.Name, want)
		}
	}
	if host := opened(t, host)[0]; len(Roots(host)) != 2 || Roots(host)[1] != host || len(Roots(nil)) != 1 {
		t.Error("not both roots")
	}
}

// TestNamesCached: a name that was found is not looked for again; one that was
// not is, but not at once; and no more are remembered than may be.
func TestNamesCached(t *testing.T) {
	file := "var/lib/docker/containers/" + id + "/config.v2.json"
	root := tree(t, map[string]string{"var/lib/docker/containers/" + other + "/config.v2.json": `{"Name":"/db"}`})
	now := time.Unix(0, 0)
	n := newNames(opened(t, root), func() time.Time { return now })
	check := func(g Group, want string) {
		t.Helper()
		if got := n.Of(g); got.Name != want {
			t.Errorf("%q, want %q", got.Name, want)
		}
	}
	check(Group{Container: other}, "db")
	check(Group{Container: id}, "")
	if err := os.RemoveAll(filepath.Join(root, "var")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, file), []byte(`{"Name":"/web"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	check(Group{Container: other}, "db")
	check(Group{Container: id}, "")
	now = now.Add(retry)
	check(Group{Container: id}, "web")
	for i := range maxKnown + 7 {
		n.Of(Group{Container: strings.Repeat("0", 58) + string([]byte{'a' + byte(i>>12&1), hexDigits[i>>8&15], hexDigits[i>>4&15], hexDigits[i&15], '0', '0'})})
	}
	if len(n.known) > maxKnown {
		t.Errorf("%d names are remembered, at most %d", len(n.known), maxKnown)
	}
}

// TestNamesOddFiles: what is no file of reasonable size is not read, and does
// not block.
func TestNamesOddFiles(t *testing.T) {
	good := `{"Name":"/web","x":"`
	large := good + strings.Repeat("x", maxState) + `"}`
	for what, make := range map[string]func(name string) error{
		"fifo":    func(name string) error { return unix.Mkfifo(name, 0o600) },
		"folder":  func(name string) error { return os.Mkdir(name, 0o700) },
		"large":   func(name string) error { return os.WriteFile(name, []byte(large), 0o600) },
		"symlink": func(name string) error { return os.Symlink("good", name) },
	} {
		dir := "var/lib/docker/containers/" + id
		root := tree(t, map[string]string{dir + "/good": `{"Name":"/web"}`})
		if err := make(filepath.Join(root, dir, "config.v2.json")); err != nil {
			t.Fatal(err)
		}
		if got := newNames(opened(t, root), time.Now).Of(Group{Container: id}); got != (Name{}) {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add([]byte(`{"Name":"/web","Config":{"Labels":{"io.kubernetes.pod.name":"x"}},"annotations":{"nerdctl/name":"y"}}`))
	f.Add([]byte(`[{"id":"` + id + `","names":["x"]}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		root := t.TempDir()
		for _, name := range []string{
			"var/lib/docker/containers/" + id + "/config.v2.json",
			"run/containerd/io.containerd.runtime.v2.task/x/" + id + "/config.json",
			"var/lib/containers/storage/overlay-containers/containers.json",
		} {
			name = filepath.Join(root, name)
			if os.MkdirAll(filepath.Dir(name), 0o700) != nil || os.WriteFile(name, text, 0o600) != nil {
				t.Fatal("no room")
			}
		}
		got := newNames(opened(t, root), time.Now).Of(Group{Container: id})
		if len(got.Name) > maxName || len(got.Pod) > maxName || !json.Valid(text) && got != (Name{}) {
			t.Errorf("%q: %+v", text, got)
		}
	})
}
