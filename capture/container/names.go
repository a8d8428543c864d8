package container

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Names finds out what engines call their containers, by the files in which
// they keep their state, which are hostile input: docker's, those of containerd
// and CRI-O with Kubernetes' annotations, podman's. Rootless engines keep theirs
// in a user's home, where nobody looks. A Names is for one goroutine.
type Names struct {
	root  string // below which the files are
	now   func() time.Time
	known map[string]entry // by id
}

// Name is what an engine calls a container; what is unknown is empty.
type Name struct {
	Name string
	Pod  string // NAMESPACE/NAME
}

// entry is a name that was found, or that was not.
type entry struct {
	name  Name
	again time.Time // when to look once more; zero: never
}

// The bounds of what is remembered, and of what is read.
const (
	maxKnown = 4096
	retry    = 10 * time.Second
	maxState = 4 << 20 // bytes of a file
	maxName  = 255     // bytes of a name
)

// NewNames returns a Names of this machine.
func NewNames() *Names { return newNames("/", time.Now) }

func newNames(root string, now func() time.Time) *Names {
	return &Names{root: root, now: now, known: make(map[string]entry)}
}

// Of names the container of a group.
func (n *Names) Of(g Group) Name {
	name := n.of(g)
	if name.Pod == "" {
		name.Pod = g.PodUID
	}
	return name
}

func (n *Names) of(g Group) Name {
	if g.Named {
		return Name{Name: cut(g.Container)}
	}
	if !isID(g.Container) { // it becomes part of file names
		return Name{}
	}
	e, ok := n.known[g.Container]
	if ok && (e.again.IsZero() || n.now().Before(e.again)) {
		return e.name
	}
	if len(n.known) >= maxKnown {
		clear(n.known)
	}
	if e = (entry{name: n.find(g.Container)}); e.name == (Name{}) {
		e.again = n.now().Add(retry)
	}
	n.known[g.Container] = e
	return e.name
}

// find looks where each engine keeps what it knows of a container.
func (n *Names) find(id string) Name {
	for _, look := range []func(string) Name{n.docker, n.annotated, n.stored} {
		if name := look(id); name != (Name{}) {
			return Name{cut(name.Name), cut(name.Pod)}
		}
	}
	return Name{}
}

func cut(name string) string { return name[:min(len(name), maxName)] }

// docker: Name is "/web"; cri-dockerd adds labels.
func (n *Names) docker(id string) Name {
	var daemon struct {
		DataRoot string `json:"data-root"`
	}
	dir := "/var/lib/docker"
	if n.read("/etc/docker/daemon.json", &daemon) && filepath.IsAbs(daemon.DataRoot) {
		dir = daemon.DataRoot
	}
	var state struct {
		Name   string
		Config struct{ Labels map[string]string }
	}
	if !n.read(filepath.Join(dir, "containers", id, "config.v2.json"), &state) {
		return Name{}
	}
	labels := state.Config.Labels
	name := Name{Pod: pod(labels["io.kubernetes.pod.namespace"], labels["io.kubernetes.pod.name"])}
	if name.Name = labels["io.kubernetes.container.name"]; name.Name != "" && name.Pod != "" {
		return name
	}
	if name.Name = state.Name; len(name.Name) > 1 && name.Name[0] == '/' {
		name.Name = name.Name[1:]
	}
	return name
}

// annotated: the file by which a container is started has annotations: of
// containerd's, or CRI-O's, or nerdctl's.
func (n *Names) annotated(id string) Name {
	files, _ := filepath.Glob(filepath.Join(n.root, "run/containerd/io.containerd.runtime.v2.task/*", id, "config.json"))
	for i, f := range files {
		files[i], _ = filepath.Rel(n.root, f)
	}
	for _, dir := range []string{"run/containers", "var/lib/containers"} {
		files = append(files, filepath.Join(dir, "storage/overlay-containers", id, "userdata/config.json"))
	}
	for _, file := range files {
		var spec struct{ Annotations map[string]string }
		if !n.read(file, &spec) {
			continue
		}
		first := func(keys ...string) string {
			for _, key := range keys {
				if value := spec.Annotations[key]; value != "" {
					return value
				}
			}
			return ""
		}
		name := Name{
			Name: first("io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"),
			Pod: pod(first("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"),
				first("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")),
		}
		if name != (Name{}) {
			return name
		}
	}
	return Name{}
}

// stored: podman's, and CRI-O's again, in a list of all.
func (n *Names) stored(id string) Name {
	for _, file := range []string{
		"var/lib/containers/storage/overlay-containers/containers.json",
		"var/lib/containers/storage/overlay-containers/volatile-containers.json",
		"run/containers/storage/overlay-containers/volatile-containers.json",
		"var/lib/containers/storage/vfs-containers/containers.json",
	} {
		var all []struct {
			ID    string
			Names []string
		}
		if !n.read(file, &all) {
			continue
		}
		for _, c := range all {
			if c.ID == id && len(c.Names) > 0 {
				return Name{Name: c.Names[0]}
			}
		}
	}
	return Name{}
}

func pod(namespace, name string) string {
	if namespace == "" || name == "" {
		return name
	}
	return namespace + "/" + name
}

// read decodes a file below root. It reports whether there is one that can be.
func (n *Names) read(file string, into any) bool {
	// Whatever stands there, opening it must not block.
	f, err := os.OpenFile(filepath.Join(n.root, file), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxState {
		return false
	}
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	return err == nil && json.Unmarshal(text, into) == nil
}
