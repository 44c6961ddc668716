// Package edge is what lies between a socket and HTTP: TLS, the PROXY protocol,
// and whom to believe about who a client is.
package edge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// TLSConfig names the files of a listener that speaks TLS.
type TLSConfig struct {
	Cert     string `yaml:"cert"`      // PEM, the chain included
	Key      string `yaml:"key"`       // PEM
	ClientCA string `yaml:"client_ca"` // PEM; when set, clients need a certificate of one of these authorities
}

// lookAfter is how often the files are looked at, at most. Certificates are
// renewed days before they end.
const lookAfter = time.Second

// TLS makes connections speak TLS, with what its files say now. A file that
// cannot be used leaves the one before it in force. It is safe for concurrent use.
type TLS struct {
	files TLSConfig
	log   *slog.Logger
	outer *tls.Config

	mu     sync.Mutex // guards what follows
	config *tls.Config
	looked time.Time
	seen   stamp // of the files that config was read from
	failed stamp // of those that could not be read, so that it is said once
}

// stamp tells whether files have changed. Of a link it is the stamp of what it
// leads to, so that Kubernetes' swaps are seen.
type stamp [3]struct {
	size     int64
	modified time.Time
}

// NewTLS reads the files. The error is all that is wrong with them, see
// FileErrors.
func NewTLS(files TLSConfig, log *slog.Logger) (*TLS, error) {
	t := &TLS{files: files, log: log, looked: time.Now()}
	var err error
	if t.seen, err = files.stamp(); err != nil {
		return nil, err
	}
	if t.config, err = files.read(); err != nil {
		return nil, err
	}
	t.outer = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current(time.Now()), nil },
	}
	return t, nil
}

// Server is c with TLS. The handshake takes place with the first Read or Write,
// so that their deadlines bound it and accepting waits for nobody.
func (t *TLS) Server(c net.Conn) net.Conn { return tls.Server(c, t.outer) }

func (t *TLS) current(now time.Time) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.looked) < lookAfter {
		return t.config
	}
	t.looked = now
	found, err := t.files.stamp()
	if err == nil && found == t.seen {
		return t.config
	}
	var config *tls.Config
	if err == nil {
		config, err = t.files.read()
	}
	switch {
	case err == nil:
		t.config, t.seen, t.failed = config, found, stamp{}
		t.log.Info("the certificate was read again")
	case found != t.failed:
		t.failed = found
		t.log.Warn("the certificate cannot be read again, the one before stays", "err", err)
	}
	return t.config
}

func (c *TLSConfig) stamp() (s stamp, err error) {
	for i, path := range []string{c.Cert, c.Key, c.ClientCA} {
		if path == "" {
			continue
		}
		info, failed := os.Stat(path)
		if failed != nil {
			err = errors.Join(err, &FileError{Key: keys[i], Err: cause(failed)})
			continue
		}
		s[i].size, s[i].modified = info.Size(), info.ModTime()
	}
	return s, err
}

// keys are those of TLSConfig in a file, in the order of its fields.
var keys = [3]string{"cert", "key", "client_ca"}

// FileError is what is wrong with one of the files. It does not quote them.
type FileError struct {
	Key string // as in TLSConfig
	Err error
}

func (e *FileError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// FileErrors are what an error of NewTLS consists of.
func FileErrors(err error) (all []*FileError) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			all = append(all, FileErrors(one)...)
		}
	} else if one, ok := errors.AsType[*FileError](err); ok {
		all = append(all, one)
	}
	return all
}

// read makes a configuration for one certificate. It speaks HTTP/1.1 only, as
// the server behind it.
func (c *TLSConfig) read() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		err = &FileError{Key: keys[0], Err: fmt.Errorf("no certificate with its key: %w", cause(err))}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	if c.ClientCA == "" {
		return config, err
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	switch pem, unread := os.ReadFile(c.ClientCA); {
	case unread != nil:
		err = errors.Join(err, &FileError{Key: keys[2], Err: cause(unread)})
	case !config.ClientCAs.AppendCertsFromPEM(pem):
		err = errors.Join(err, &FileError{Key: keys[2], Err: errors.New("holds no certificate in PEM")})
	}
	return config, err
}

// cause is err without the path that the key stands for already.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
