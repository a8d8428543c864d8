package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/sockcap/sockcap/capture"
	"github.com/sockcap/sockcap/capture/filter"
)

// rawFilter holds the flags that say what to keep, besides the expression.
type rawFilter struct {
	file, direction string
	explain, self   bool
	values          [6][]string // by shorthands
}

// shorthands are the keywords that are flags too.
var shorthands = [6]string{"path", "comm", "pid", "uid", "container", "cgroup"}

func (r *rawFilter) define(s *pflag.FlagSet) {
	s.StringVarP(&r.file, "F", "F", "", "")
	s.StringVarP(&r.direction, "direction", "Q", "inout", "")
	s.BoolVarP(&r.explain, "d", "d", false, "")
	s.BoolVar(&r.self, "include-self", false, "")
	for i, name := range shorthands {
		s.StringArrayVar(&r.values[i], name, nil, "")
	}
}

// set settles what to keep: what the expression in words or in a file says,
// and each of the shorthands.
func (r *rawFilter) set(f *flags, words []string) error {
	text := strings.Join(words, " ")
	if r.file != "" {
		if strings.TrimSpace(text) != "" {
			return errTwoExpressions(r.file)
		}
		var err error
		if text, err = readExpression(r.file); err != nil {
			return err
		}
	}
	expr, err := filter.Parse(text, lookup())
	if err != nil {
		wrong := wrongExpression(err, text, r.file)
		if r.file == "" && wrong.column == 1 && isCommand(words) {
			wrong.hintCommand(words)
		}
		return wrong
	}
	all := []*filter.Expr{expr}
	for i, name := range shorthands {
		e, err := anyOf(name, r.values[i])
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	switch r.direction {
	case "in", "out":
		e, err := filter.Parse(r.direction+"bound", filter.Lookup{})
		if err != nil {
			return err
		}
		all = append(all, e)
	case "inout":
	default:
		return wrongChoice("-Q", r.direction, "in, out or inout")
	}
	f.filter, f.explain, f.capture.IncludeSelf = filter.And(all...), r.explain, r.self
	if f.explain || len(f.read) > 0 {
		return nil
	}
	f.chooseLive()
	return nil
}

// isCommand reports whether words may have been meant as a command, and it is
// there. A path is an expression.
func isCommand(words []string) bool {
	if len(words) == 0 || strings.Contains(words[0], "/") {
		return false
	}
	_, err := exec.LookPath(words[0])
	return err == nil
}

// chooseLive sets what the capture keeps.
func (f *flags) chooseLive() {
	var ok bool
	if f.capture.Paths, ok = f.filter.Paths(); !ok && !f.filter.All() {
		f.capture.Filter = f.filter
	}
}

// explainFilter is -d.
func explainFilter(w io.Writer, f *flags) error {
	if len(f.read) > 0 || f.filter.All() {
		return printFilter(w, f.filter, nil)
	}
	f.chooseLive()
	e, err := capture.Explain(f.capture)
	if err != nil {
		return err
	}
	return printFilter(w, f.filter, e)
}

// anyOf is the expression that is true of one of the values.
func anyOf(keyword string, values []string) (*filter.Expr, error) {
	var all []*filter.Expr
	for _, v := range values {
		e, err := filter.Primitive(keyword, v, lookup())
		if err != nil {
			return nil, wrongShorthand(err)
		}
		all = append(all, e)
	}
	return filter.Or(all...), nil
}

// maxExpression bounds a file with an expression.
const maxExpression = 1 << 20

// readExpression reads the file after -F.
func readExpression(name string) (string, error) {
	file := os.Stdin
	if name != "-" {
		err := asCaller(func() (err error) {
			file, err = os.Open(name)
			return err
		})
		if err != nil {
			return "", err
		}
		defer file.Close()
	}
	text, err := io.ReadAll(io.LimitReader(file, maxExpression+1))
	if err == nil && len(text) > maxExpression {
		return "", errLongExpression(name)
	}
	return string(text), err
}

// lookup finds users and groups as this system knows them, and network
// namespaces as ip-netns(8) does.
func lookup() filter.Lookup {
	number := func(text string, err error, otherwise error) (uint32, error) {
		if err != nil {
			return 0, otherwise
		}
		n, err := strconv.ParseUint(text, 10, 32)
		return uint32(n), err
	}
	return filter.Lookup{
		User: func(name string) (uint32, error) {
			u, err := user.Lookup(name)
			if err != nil {
				u = new(user.User)
			}
			return number(u.Uid, err, errors.New("no such user"))
		},
		Group: func(name string) (uint32, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				g = new(user.Group)
			}
			return number(g.Gid, err, errors.New("no such group"))
		},
		NetNS: func(name string) (uint32, error) {
			info, err := os.Stat("/run/netns/" + name)
			if err != nil || strings.Contains(name, "/") || !info.Mode().IsRegular() {
				return 0, errors.New("no such network namespace in /run/netns")
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return 0, errors.ErrUnsupported
			}
			return uint32(st.Ino), nil
		},
	}
}
