// Package kubernetes_test asks Kubernetes' own types whether the manifests here
// are well-formed. It is a module of its own, so that sockcap depends on none of
// them.
package kubernetes_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// decode reads a document as strictly as an API server does with
// fieldValidation=Strict: no unknown field, in its very letters, none twice, each
// of its type.
func decode(document []byte) (any, error) {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(text, &head); err != nil {
		return nil, err
	}
	var object any
	switch head.APIVersion + " " + head.Kind {
	case "v1 Namespace":
		object = new(corev1.Namespace)
	case "apps/v1 DaemonSet":
		object = new(appsv1.DaemonSet)
	default:
		return nil, &os.PathError{Op: "decode", Path: head.APIVersion + " " + head.Kind, Err: os.ErrInvalid}
	}
	strict, err := json.UnmarshalStrict(text, object)
	return object, errors.Join(append(strict, err)...)
}

func documents(t *testing.T) [][]byte {
	t.Helper()
	names, err := filepath.Glob("*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no manifests", err)
	}
	var all [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Split(text, []byte("\n---\n"))...)
	}
	return all
}

func TestSchema(t *testing.T) {
	for _, document := range documents(t) {
		if _, err := decode(document); err != nil {
			t.Errorf("%v in\n%s", err, document)
		}
	}
}

// TestSchemaRefuses: what is wrong in a manifest is found.
func TestSchemaRefuses(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"hostPID: true", "hostPid: true", `unknown field "spec.template.spec.hostPid"`},
		{"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: yes please", "cannot unmarshal string"},
		{"drop: [ALL]", "drop: ALL", "cannot unmarshal string"},
		{"privileged: false", "privileged: false\n            privileged: true", "already set"},
		{"memory: 512Mi", "memory: 512 MB", "quantities must match"},
		{"kind: DaemonSet", "kind: DeamonSet", "invalid argument"},
	} {
		found := false
		for _, document := range documents(t) {
			wrong := strings.Replace(string(document), c.old, c.new, 1)
			if wrong == string(document) {
				continue
			}
			found = true
			if _, err := decode([]byte(wrong)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.new, err, c.want)
			}
		}
		if !found {
			t.Errorf("no manifest has %s", c.old)
		}
	}
}

// TestLeast: the DaemonSet gets no more than it needs, and selects its own pods.
func TestLeast(t *testing.T) {
	for _, document := range documents(t) {
		object, err := decode(document)
		if err != nil {
			t.Fatal(err)
		}
		set, ok := object.(*appsv1.DaemonSet)
		if !ok {
			continue
		}
		pod := set.Spec.Template.Spec
		if pod.HostNetwork || pod.HostIPC || !pod.HostPID || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("more than the host's pids: %+v", pod)
		}
		for name, value := range set.Spec.Selector.MatchLabels {
			if set.Spec.Template.Labels[name] != value {
				t.Errorf("pods have no label %s=%s", name, value)
			}
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if *s.Privileged || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
				t.Errorf("%+v", s)
			}
			for _, name := range s.Capabilities.Add {
				if !strings.Contains(" BPF PERFMON SYSLOG DAC_READ_SEARCH SYS_PTRACE ", " "+string(name)+" ") {
					t.Errorf("capability %s", name)
				}
			}
		}
	}
}
