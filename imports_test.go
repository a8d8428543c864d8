// Package sockcap holds no code: this test is about all the packages below.
package sockcap

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sockcap/sockcap"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath, Dir, Name string
	Imports, GoFiles      []string
}

// packages are all of this module, for both architectures' files of bpf alike.
func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Imports,GoFiles", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 6 {
		t.Fatalf("%d packages: the list is not whole", len(all))
	}
	return all
}

// mayImport is the import rule of STYLE.md: what of ours each package may
// import, the first entry that fits. "x/..." is x and all below it.
var mayImport = []struct {
	importer string
	imported []string
}{
	{"bpf", nil},
	{"wireshark", nil},
	{"pcapng", nil},
	{"pcapng/stream/streamtest", nil},
	{"pcapng/...", []string{"pcapng"}},
	{"capture/filter", []string{"pcapng"}},
	{"capture/container", nil},
	{"capture/snapshot", []string{"pcapng", "capture/container"}},
	{"capture", []string{"bpf", "pcapng", "capture/container", "capture/filter", "capture/snapshot"}},
	{"capture/internal/...", []string{"capture/...", "bpf", "pcapng"}},
	{"cmd/...", []string{"..."}},
	{"testdata/...", []string{"..."}},
	{".", nil},
}

func fits(name, pattern string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(name+"/", prefix)
	}
	return name == pattern
}

// inModule is a package's name below the module, "." for the module itself.
func inModule(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// badImports gives each import of p that the rule does not allow.
func badImports(p pkg) []string {
	name, _ := inModule(p.ImportPath)
	for _, rule := range mayImport {
		if !fits(name, rule.importer) {
			continue
		}
		var bad []string
		for _, i := range p.Imports {
			imported, ours := inModule(i)
			if ours && !fitsAny(imported, rule.imported) {
				bad = append(bad, name+" imports "+imported)
			}
		}
		return bad
	}
	return []string{name + " is in no rule"}
}

func fitsAny(name string, patterns []string) bool {
	for _, p := range patterns {
		if fits(name, p) {
			return true
		}
	}
	return false
}

// TestImports: data flows one way, so imports do.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, bad := range badImports(p) {
			t.Error(bad)
		}
	}
}

// TestImportRule: the rule refuses what it is there to refuse.
func TestImportRule(t *testing.T) {
	for _, c := range []struct {
		importer, imported string
		bad                bool
	}{
		{"capture", "bpf", false}, {"capture", "capture/filter", false}, {"capture", "wireshark", true}, {"capture", "cmd/sockcap", true},
		{"capture", "capture/snapshot", false}, {"capture/snapshot", "capture", true}, {"capture/snapshot", "bpf", true},
		{"bpf", "pcapng", true}, {"pcapng", "bpf", true}, {"wireshark", "pcapng", true}, {"capture/filter", "capture", true},
		{"pcapng/stream", "pcapng", false}, {"pcapng/stream", "capture", true}, {"pcapng", "pcapng/stream", true},
		{"pcapng/stream/streamtest", "pcapng/stream", true},
		{"capture/filter", "pcapng", false}, {"pcapng/raw", "pcapng", false}, {"pcapng", "pcapng/raw", true},
		{"cmd/sockcap", "bpf", false}, {"cmd/sockcap/demo", "wireshark", false}, {"unheard/of", "pcapng", true},
	} {
		p := pkg{ImportPath: module + "/" + c.importer, Imports: []string{"fmt", module + "/" + c.imported}}
		if bad := badImports(p); (len(bad) > 0) != c.bad {
			t.Errorf("%s imports %s: %q", c.importer, c.imported, bad)
		}
	}
}

// TestNetwork: pcapng/stream alone speaks NATS, and the command has no server
// of it inside, which is for tests and demonstrations.
func TestNetwork(t *testing.T) {
	for _, p := range packages(t) {
		name, _ := inModule(p.ImportPath)
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "github.com/nats-io/") && !fits(name, "pcapng/stream/...") {
				t.Errorf("%s imports %s", name, i)
			}
		}
	}
	out, err := exec.Command("go", "list", "-deps", "./cmd/sockcap").Output()
	if err != nil {
		t.Fatal(err)
	}
	if deps := string(out); !strings.Contains(deps, "github.com/nats-io/nats.go\n") || strings.Contains(deps, "nats-server") {
		t.Error("go list -deps ./cmd/sockcap: want nats.go, and no nats-server")
	}
}

// TestNoGopacketInAPI: no type of gopacket is in an exported signature, but
// for pcapng/layer, which is for gopacket's users.
func TestNoGopacketInAPI(t *testing.T) {
	for _, p := range packages(t) {
		if name, _ := inModule(p.ImportPath); name == "pcapng/layer" || p.Name == "main" {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range gopacketInAPI(f) {
				t.Errorf("%s: a type of gopacket in the API of %s", fset.Position(at), p.ImportPath)
			}
		}
	}
}

// TestGopacketFound: each place where one can stand in an API is looked at.
func TestGopacketFound(t *testing.T) {
	const head = "package x\nimport (l \"github.com/gopacket/gopacket/layers\"; \"github.com/google/gopacket\")\n"
	for _, c := range []struct {
		code string
		want int
	}{
		{"func F(l.LinkType) {}", 1}, {"func F() (a []gopacket.Packet, err error) { return }", 1}, {"func f(l.LinkType) {}", 0},
		{"type T struct { A map[string]*gopacket.Packet; b l.LinkType }", 1}, {"type T struct { gopacket.Packet }", 1},
		{"type t struct { A l.LinkType }", 0}, {"func (t *T) M(f func(l.LinkType)) {}", 1}, {"func (t *T) m(l.LinkType) {}", 0},
		{"func (t t) M(l.LinkType) {}", 0}, {"type T = l.LinkType", 1}, {"type T l.LinkType", 1}, {"var V, w l.LinkType", 1}, {"var v l.LinkType", 0},
		{"const C = l.LinkTypeRaw", 1}, {"func F[P gopacket.Packet](p P) {}", 1}, {"type T[P l.LinkType] struct{}", 1},
		{"type T interface { M(gopacket.Packet) }", 1}, {"func F() { _ = l.LinkTypeRaw }", 0}, {"const c = l.LinkTypeRaw", 0},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", head+c.code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(gopacketInAPI(f)); got != c.want {
			t.Errorf("%s: %d places, want %d", c.code, got, c.want)
		}
	}
}

// gopacketInAPI gives where exported declarations name something of gopacket.
func gopacketInAPI(f *ast.File) []token.Pos {
	names := gopacketNames(f)
	if len(names) == 0 {
		return nil
	}
	var found []token.Pos
	look := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok && len(field.Names) > 0 && !anyExported(field.Names) && isStructField(field, f) {
				return false
			}
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && names[x.Name] {
					found = append(found, s.Pos())
				}
			}
			return true
		})
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) {
				look(d.Type)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						look(s)
					}
				case *ast.ValueSpec:
					if anyExported(s.Names) {
						look(s)
					}
				}
			}
		}
	}
	return found
}

// gopacketNames are the names under which a file has packages of gopacket.
func gopacketNames(f *ast.File) map[string]bool {
	names := make(map[string]bool)
	for _, i := range f.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		if !strings.HasPrefix(p, "github.com/gopacket/gopacket") && !strings.HasPrefix(p, "github.com/google/gopacket") {
			continue
		}
		if i.Name != nil {
			names[i.Name.Name] = true
		} else {
			names[path.Base(p)] = true
		}
	}
	return names
}

func anyExported(names []*ast.Ident) bool {
	for _, n := range names {
		if n.IsExported() {
			return true
		}
	}
	return false
}

// isStructField tells a field of a struct from a parameter.
func isStructField(field *ast.Field, f *ast.File) (is bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.StructType); ok {
			for _, other := range s.Fields.List {
				is = is || other == field
			}
		}
		return !is
	})
	return is
}

// exportedReceiver says whether others can call a function: it is none of an
// unexported type's methods.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	exported := true
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}
