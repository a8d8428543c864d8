package streamtest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/sockcap/sockcap/pcapng/stream"
)

// TestTLS: over TLS, with our certificate and a password; and each way in that
// must not be one.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	good, bad := newAuthority(t, dir, "good"), newAuthority(t, dir, "bad")
	good.issue(t, "server")
	good.issue(t, "client")
	bad.issue(t, "stranger")
	path := func(name string) string { return filepath.Join(dir, name) }
	c := servers(t, 1, fmt.Sprintf(`
tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }
authorization { user: me, password: "a b@c" }`, path("server.pem"), path("server.key"), path("good.pem")))
	address := func(user, query string) stream.Address {
		a, err := stream.ParseAddress("tls://" + user + c.Hosts() + "/CAPTURE?" + query)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	files := func(ca, name string) string {
		return fmt.Sprintf("ca=%s&cert=%s&key=%s", path(ca+".pem"), path(name+".pem"), path(name+".key"))
	}
	a := address("me:a%20b%40c@", files("good", "client"))
	p := publisher(t, stream.PublishOptions{Address: a}, "a")
	for n := range 7 {
		write(t, p, packet("a", n))
	}
	closed(t, p)
	r, all := stored(t, a, nil)
	wholeCaptures(t, r, all, []string{"a"}, 7)
	if strings.Contains(a.String(), "a b") || strings.Contains(a.String(), "%20") {
		t.Errorf("%s has the password", a)
	}

	for _, w := range []struct{ what, user, query, want string }{
		{"wrong password", "me:wrong@", files("good", "client"), "Authorization Violation"},
		{"no user", "", files("good", "client"), "Authorization Violation"},
		{"wrong authority", "me:a%20b%40c@", files("bad", "client"), "unknown authority"},
		{"no authority", "me:a%20b%40c@", "", "unknown authority"},
		{"no such file", "me:a%20b%40c@", "ca=" + path("none"), "no such file"},
		{"no certificate in it", "me:a%20b%40c@", "ca=" + path("client.key"), "no certificate"},
	} {
		_, err := stream.Publish(t.Context(), stream.PublishOptions{Address: address(w.user, w.query), Host: "a"})
		if err == nil || !strings.Contains(err.Error(), w.want) || strings.Contains(err.Error(), "a b@c") {
			t.Errorf("%s: %v, want %s", w.what, err, w.want)
		}
	}
	if _, err := stream.Open(t.Context(), stream.ReadOptions{Address: address("me:a%20b%40c@", files("good", "stranger"))}); err == nil {
		t.Error("a stranger's certificate is let in")
	}
}

// TestCredentials: a credentials file says who we are, and what it lets us do is
// all that is needed.
func TestCredentials(t *testing.T) {
	config, host, reader := operator(t)
	c := servers(t, 1, config)
	save := func(name string, creds []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, creds, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := save("host.creds", host)
	a := addressOf(t, c, "CAPTURE?creds="+file)
	p := publisher(t, stream.PublishOptions{Address: a}, "web-1.example.org")
	if err := os.Remove(file); err != nil { // a capture may not be able to read it again
		t.Fatal(err)
	}
	write(t, p, packet("web-1.example.org", 0))
	waitFor(t, "a message", func() bool { return p.Counts().Stored == 1 })
	c.Kill(0)
	restart(t, c)
	write(t, p, packet("web-1.example.org", 1))
	if got := closed(t, p); got.Stored != 2 {
		t.Errorf("%+v", got)
	}
	r, all := stored(t, addressOf(t, c, "CAPTURE?creds="+save("reader.creds", reader)), nil)
	wholeCaptures(t, r, all, []string{"web-1.example.org"}, 2)
	_, err := stream.Open(t.Context(), stream.ReadOptions{Address: addressOf(t, c, "CAPTURE")})
	if !errors.Is(err, stream.ErrUnauthorized) {
		t.Errorf("without credentials: %v", err)
	}
}

// operator makes one with an account that has JetStream, and two users in it: one
// who may publish as one host, and one who may read, as HOSTS.md has it. It gives
// the server's configuration and their credentials.
func operator(t *testing.T) (config string, host, reader []byte) {
	t.Helper()
	pair := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		k, err := create()
		if err != nil {
			t.Fatal(err)
		}
		public, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return k, public
	}
	sign := func(c interface {
		Encode(nkeys.KeyPair) (string, error)
	}, by nkeys.KeyPair) string {
		token, err := c.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	operator, operatorID := pair(nkeys.CreateOperator)
	_, systemID := pair(nkeys.CreateAccount)
	account, accountID := pair(nkeys.CreateAccount)

	o := jwt.NewOperatorClaims(operatorID)
	o.SystemAccount = systemID
	system, ours := jwt.NewAccountClaims(systemID), jwt.NewAccountClaims(accountID)
	ours.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	creds := func(mayPublish ...string) []byte {
		user, userID := pair(nkeys.CreateUser)
		u := jwt.NewUserClaims(userID)
		u.Permissions.Pub.Allow, u.Permissions.Sub.Allow = mayPublish, jwt.StringList{"_INBOX.>"}
		seed, err := user.Seed()
		if err != nil {
			t.Fatal(err)
		}
		text, err := jwt.FormatUserConfig(sign(u, account), seed)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	host = creds("CAPTURE.web-1.example.org", "$JS.API.STREAM.INFO.CAPTURE", "$JS.API.STREAM.CREATE.CAPTURE")
	reader = creds("$JS.API.STREAM.INFO.CAPTURE", "$JS.API.CONSUMER.CREATE.CAPTURE.>", "$JS.API.CONSUMER.INFO.CAPTURE.>",
		"$JS.API.CONSUMER.MSG.NEXT.CAPTURE.>", "$JS.API.CONSUMER.DELETE.CAPTURE.>")
	return fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n",
		sign(o, operator), systemID, sign(system, operator), accountID, sign(ours, operator)), host, reader
}

// authority signs certificates, which are files in dir.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir}
	a.cert, a.key = a.sign(t, name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes NAME.pem and NAME.key.
func (a *authority) issue(t *testing.T, name string) {
	t.Helper()
	_, key := a.sign(t, name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".key", "PRIVATE KEY", der)
}

// sign makes NAME.pem, signed by itself if there is no authority yet.
func (a *authority) sign(t *testing.T, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	by, byKey := a.cert, a.key
	if by == nil {
		by, byKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".pem", "CERTIFICATE", der)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(a.dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}
