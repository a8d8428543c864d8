package container

import (
	"encoding/json"
	"io"
	"path/filepath"
	"time"
)

// Names finds out what engines call their containers, by the files in which
// they keep their state, which are hostile input: docker's, those of containerd
// and CRI-O with Kubernetes' annotations, podman's. Rootless engines keep theirs
// in a user's home, where nobody looks. A Names is for one goroutine.
type Names struct {
	roots []*Root // below which the files are, each in turn
	now   func() time.Time
	known map[string]found // by id
}

// Name is what an engine calls a container; what is unknown is empty.
type Name struct {
	Name string
	Pod  string // NAMESPACE/NAME
}

// found is a name that was found, or that was not.
type found struct {
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

// NewNames returns a Names of this machine, which looks for files in our own
// file system, then in the host's, unless that is nil.
func NewNames(host *Root) *Names { return newNames(Roots(host), time.Now) }

func newNames(roots []*Root, now func() time.Time) *Names {
	return &Names{roots: roots, now: now, known: make(map[string]found)}
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
	if e = (found{name: n.find(g.Container)}); e.name == (Name{}) {
		e.again = n.now().Add(retry)
	}
	n.known[g.Container] = e
	return e.name
}

// find looks where each engine keeps what it knows of a container.
func (n *Names) find(id string) Name {
	for _, root := range n.roots {
		s := state{root}
		for _, look := range []func(string) Name{s.docker, s.annotated, s.stored} {
			if name := look(id); name != (Name{}) {
				return Name{cut(name.Name), cut(name.Pod)}
			}
		}
	}
	return Name{}
}

// state is the files in which engines keep what they know.
type state struct{ root *Root }

func cut(name string) string { return name[:min(len(name), maxName)] }

// docker: Name is "/web"; cri-dockerd adds labels.
func (s state) docker(id string) Name {
	var daemon struct {
		DataRoot string `json:"data-root"`
	}
	dir := "/var/lib/docker"
	if s.read("/etc/docker/daemon.json", &daemon) && filepath.IsAbs(daemon.DataRoot) {
		dir = daemon.DataRoot
	}
	var config struct {
		Name   string
		Config struct{ Labels map[string]string }
	}
	if !s.read(filepath.Join(dir, "containers", id, "config.v2.json"), &config) {
		return Name{}
	}
	labels := config.Config.Labels
	name := Name{Pod: pod(labels["io.kubernetes.pod.namespace"], labels["io.kubernetes.pod.name"])}
	if name.Name = labels["io.kubernetes.container.name"]; name.Name != "" && name.Pod != "" {
		return name
	}
	if name.Name = config.Name; len(name.Name) > 1 && name.Name[0] == '/' {
		name.Name = name.Name[1:]
	}
	return name
}

// annotated: the file by which a container is started has annotations: of
// containerd's, or CRI-O's, or nerdctl's.
func (s state) annotated(id string) Name {
	var files []string
	for _, dir := range []string{"/run/containerd", "/run/k3s/containerd", "/var/snap/microk8s/common/run/containerd"} {
		some, _ := s.root.Glob(filepath.Join(dir, "io.containerd.runtime.v2.task/*", id, "config.json")) // the one error is a pattern's
		files = append(files, some...)
	}
	for _, dir := range []string{"/run/containers", "/var/lib/containers"} {
		files = append(files, filepath.Join(dir, "storage/overlay-containers", id, "userdata/config.json"))
	}
	for _, file := range files {
		var spec struct{ Annotations map[string]string }
		if !s.read(file, &spec) {
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
func (s state) stored(id string) Name {
	for _, file := range []string{
		"/var/lib/containers/storage/overlay-containers/containers.json",
		"/var/lib/containers/storage/overlay-containers/volatile-containers.json",
		"/run/containers/storage/overlay-containers/volatile-containers.json",
		"/var/lib/containers/storage/vfs-containers/containers.json",
		"/var/lib/containers/storage/vfs-containers/volatile-containers.json",
	} {
		var all []struct {
			ID    string
			Names []string
		}
		if !s.read(file, &all) {
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

// read decodes a file. It reports whether there is one that can be.
func (s state) read(file string, into any) bool {
	f, err := s.root.OpenFile(file)
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
