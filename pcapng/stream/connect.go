package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How long a server may take.
const (
	connectTime = 2 * time.Second // each, to let us in
	answerTime  = 5 * time.Second // to answer
)

// NoticeKind says what a Notice is about.
type NoticeKind int

// The kinds of notices.
const (
	NoticeAway    NoticeKind = iota // the server does not answer, or refuses: Err
	NoticeBack                      // it does again
	NoticeCreated                   // the stream was not there, and was made, with so many Replicas
	NoticeMessage                   // the first message that cannot be read: Err
	NoticeClock                     // the first packet of a Host whose clock is Ahead of the server's
)

// Notice is something that people may want to know of while all goes on.
type Notice struct {
	Kind     NoticeKind
	Err      error
	Replicas int
	Host     string
	Ahead    time.Duration
}

// dial connects to one of a's servers. Its files are read now, for later they
// may be out of reach. If no server answers and retry is set, it goes on trying
// in the background, and away is why. It fails if one does not let us in.
func (a Address) dial(retry bool, more ...nats.Option) (nc *nats.Conn, away, err error) {
	options, err := a.options()
	if err != nil {
		return nil, nil, &Error{Op: "connect to", Name: a.String(), Err: err}
	}
	options = append(options, more...)
	if nc, err = a.connect(options); err == nil {
		return nc, nil, nil
	}
	away = &Error{Op: "connect to", Name: a.String(), Err: err}
	if !retry || isRefusal(err) {
		return nil, nil, away
	}
	if nc, err = a.connect(append(options, nats.RetryOnFailedConnect(true))); err != nil {
		return nil, nil, &Error{Op: "connect to", Name: a.String(), Err: err}
	}
	return nc, away, nil
}

func (a Address) connect(options []nats.Option) (*nats.Conn, error) {
	o := nats.GetDefaultOptions()
	o.Servers = a.Servers
	for _, set := range options {
		if err := set(&o); err != nil {
			return nil, err
		}
	}
	return o.Connect()
}

// options are how we connect, with what is in a's files.
func (a Address) options() ([]nats.Option, error) {
	all := []nats.Option{
		nats.Name("sockcap"),
		nats.Timeout(connectTime),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectBufSize(-1), // what we send we keep ourselves
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreAuthErrorAbort(), // what a user may do can change
	}
	if a.Creds != "" {
		creds, err := os.ReadFile(a.Creds)
		if err != nil {
			return nil, err
		}
		all = append(all, nats.UserCredentialBytes(creds))
	}
	if !a.TLS {
		return all, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.CA != "" {
		text, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("no certificate in %q", a.CA)
		}
	}
	if a.Cert != "" {
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return append(all, nats.Secure(c)), nil
}

// isRefusal reports whether a server was there and did not let us in: that does
// not pass by waiting.
func isRefusal(err error) bool {
	var (
		cert    *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		record  tls.RecordHeaderError
	)
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) ||
		errors.Is(err, nats.ErrAccountAuthExpired) || errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted) ||
		errors.As(err, &cert) || errors.As(err, &unknown) || errors.As(err, &record)
}

// The error codes by which a server says that it has no room for three replicas
// (server/errors.json of nats-server).
const (
	codeNoPeers    jetstream.ErrorCode = 10005
	codeResources  jetstream.ErrorCode = 10023
	codeOneReplica jetstream.ErrorCode = 10074
)

// keep is how long a stream that we make keeps messages.
const keep = 24 * time.Hour

// How often, and how far apart, a server is asked for three replicas that
// belongs to a cluster: one that has just begun does not know all of it yet.
const (
	replicaTries = 10
	replicaPause = 300 * time.Millisecond
)

// ensure makes the stream if there is none, with three replicas, or one where
// there are no three servers, which is told; 0 means that it was there. One that
// is there stays as it is, and must take the subject.
func ensure(ctx context.Context, js jetstream.JetStream, name, subject string) (replicas int, err error) {
	s, err := js.Stream(ctx, name)
	if err == nil {
		for _, pattern := range s.CachedInfo().Config.Subjects {
			if covers(pattern, subject) {
				return 0, nil
			}
		}
		return 0, fmt.Errorf("stream %s %w %s", name, ErrSubjects, subject)
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, err
	}
	replicas = 3
	for try := 1; ; try++ {
		err = create(ctx, js, name, replicas)
		refused := new(jetstream.APIError)
		switch {
		case err == nil:
			return replicas, nil
		case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
			return 0, nil // another host was faster
		case replicas == 1, !errors.As(err, &refused):
			return 0, err
		}
		switch refused.ErrorCode {
		case codeOneReplica:
			replicas = 1
		case codeNoPeers, codeResources:
			if try == replicaTries {
				replicas = 1
				continue
			}
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(replicaPause):
			}
		default:
			return 0, err
		}
	}
}

func create(ctx context.Context, js jetstream.JetStream, name string, replicas int) error {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:        name,
		Description: "captures of sockcap",
		Subjects:    []string{name + ".>"},
		Storage:     jetstream.FileStorage,
		Replicas:    replicas,
		MaxAge:      keep,
	})
	return err
}
