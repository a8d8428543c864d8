package main

import (
	"slices"
	"strings"
)

// continuations is what an expression may go on with after these words, when
// the next one has begun so. It knows the grammar well enough to be of use,
// and leaves judging to package filter.
func (h *host) continuations(args []string, begun string) []string {
	words := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(strings.Join(args, " ")))
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
	}
	isAddress := func(w string) bool { return strings.HasPrefix(w, "/") || strings.HasPrefix(w, "@") }
	switch {
	case last == "src" || last == "dst":
		return ends()
	case isComparison(last):
		return nil
	case last == "len":
		return []string{"<", "<=", ">", ">=", "=", "!="}
	case expectsValue(last) && !isValue(words):
		return h.values(last)
	case last == "" || last == "(" || isOperator(last):
		return append(primitives(), h.addresses(begun)...)
	case !slices.ContainsFunc(words, func(w string) bool { return !isAddress(w) }):
		return append([]string{"and", "or"}, h.addresses(begun)...)
	}
	return []string{"and", "or"}
}

func isOperator(word string) bool {
	return slices.Contains([]string{"and", "or", "not", "&&", "||", "!"}, word)
}

func isComparison(word string) bool {
	return slices.Contains([]string{"<", "<=", ">", ">=", "=", "==", "!=", "less", "greater"}, word)
}

// ends is what may be asked of one end alone.
func ends() []string {
	return []string{"path", "comm", "pid", "uid", "gid", "inode", "exe", "cgroup", "container", "unit", "pod"}
}

func expectsValue(word string) bool {
	return slices.Contains(append(ends(), "netns"), word)
}

// isValue reports whether the last word is the value of the one before it:
// "comm path" is about a process of that name.
func isValue(words []string) bool {
	n := len(words)
	return n > 1 && expectsValue(words[n-2]) && !isValue(words[:n-1])
}

// primitives is every word that may begin a primitive.
func primitives() []string {
	return append(ends(), "netns", "src", "dst", "not",
		"stream", "dgram", "seqpacket", "len", "less", "greater", "fds",
		"data", "connect", "accept", "listen", "shutdown", "close", "refused", "snapshot", "read", "lost",
		"inbound", "outbound")
}

// values is what this machine has for a keyword.
func (h *host) values(keyword string) []string {
	switch keyword {
	case "path":
		return h.sockets()
	case "comm":
		return h.comms()
	case "pid":
		return h.pids()
	case "uid":
		return accounts("/etc/passwd")()
	case "gid":
		return accounts("/etc/group")()
	}
	return nil
}

// addresses is sockets, abstract ones only where one has begun: their names
// are long, and few people look for them.
func (h *host) addresses(begun string) []string {
	all := h.sockets()
	if strings.HasPrefix(begun, "@") {
		return all
	}
	return startingWith("/", all)
}
