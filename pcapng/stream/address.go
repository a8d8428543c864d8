package stream

import (
	"fmt"
	"net/url"
	"strings"
)

// Address is where a stream is:
//
//	nats://[USER:PASSWORD@]HOST[:PORT][,HOST...]/STREAM[?creds=FILE&ca=FILE&cert=FILE&key=FILE]
//
// or tls:// instead of nats://.
type Address struct {
	Servers []string // as URLs, with user and password
	Stream  string

	Creds     string // file with a user's JWT and key; empty: none
	CA        string // file with the certificates that a server's must be signed by; empty: the system's
	Cert, Key string // files by which the server knows us; empty: none
	TLS       bool   // the connection has to be encrypted
}

// IsAddress reports whether text is meant as an Address, right or wrong.
func IsAddress(text string) bool {
	return strings.HasPrefix(text, "nats://") || strings.HasPrefix(text, "tls://")
}

// ParseAddress reads an Address. It fails with ErrAddress.
func ParseAddress(text string) (Address, error) {
	a, err := parseAddress(text)
	if err != nil {
		return Address{}, &Error{Op: "address", Name: withoutUser(text), Err: fmt.Errorf("%w: %w", ErrAddress, err)}
	}
	return a, nil
}

func parseAddress(text string) (Address, error) {
	var a Address
	scheme, rest, _ := strings.Cut(text, "://")
	rest, query, _ := strings.Cut(rest, "?")
	authority, stream, ok := strings.Cut(rest, "/")
	if !ok || stream == "" {
		return a, fmt.Errorf("no stream after the servers, as in %s://HOST/STREAM", scheme)
	}
	if !isStreamName(stream) {
		return a, fmt.Errorf("stream %q: letters, digits, - and _ make a name", stream)
	}
	a.Stream, a.TLS = stream, scheme == "tls"
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	for host := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse(scheme + "://" + user + host)
		if err != nil || u.Hostname() == "" {
			return a, fmt.Errorf("server %q", host) // url's error would have the password
		}
		a.Servers = append(a.Servers, u.String())
	}
	return a, a.setFiles(query)
}

// isStreamName reports whether name can be a stream's and the beginning of
// subjects. A server allows more than that.
func isStreamName(name string) bool {
	return len(name) <= 255 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// setFiles reads what stands after the question mark.
func (a *Address) setFiles(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	for name, all := range values {
		field := map[string]*string{"creds": &a.Creds, "ca": &a.CA, "cert": &a.Cert, "key": &a.Key}[name]
		switch {
		case field == nil:
			return fmt.Errorf("%q after the question mark: expected creds, ca, cert or key", name)
		case len(all) != 1 || all[0] == "":
			return fmt.Errorf("%s: expected the name of one file", name)
		}
		*field = all[0]
	}
	if (a.Cert == "") != (a.Key == "") {
		return fmt.Errorf("cert and key need each other")
	}
	a.TLS = a.TLS || a.CA != "" || a.Cert != ""
	return nil
}

// String is the Address without users, passwords and files: for people.
func (a Address) String() string {
	var hosts []string
	scheme := "nats"
	for _, server := range a.Servers {
		if u, err := url.Parse(server); err == nil {
			scheme = u.Scheme
			hosts = append(hosts, u.Host)
		}
	}
	return scheme + "://" + strings.Join(hosts, ",") + "/" + a.Stream
}

// withoutUser is a text that may be no Address without what may be a password.
func withoutUser(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if i := strings.LastIndexByte(rest, '@'); ok && i >= 0 {
		return scheme + "://" + rest[i+1:]
	}
	return text
}
