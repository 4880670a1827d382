package console

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/rs/zerolog"
)

// errPair says no more than it does: what the library says of a certificate and
// a key can quote their files.
var errPair = errors.New("reading http.tls: cert_file and key_file cannot be read, or are no pair of a certificate and its key in PEM form")

// certificate is the listener's certificate and key, read again when a file is
// another one. What cannot be used is told once and changes nothing: a pair is
// often replaced one file after the other.
type certificate struct {
	certFile, keyFile string
	log               zerolog.Logger

	mu    sync.Mutex
	pair  *tls.Certificate
	files [2]fs.FileInfo // as they were before they were last read
}

func newCertificate(certFile, keyFile string, log zerolog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.files = c.look()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, errPair
	}
	c.pair = &pair
	return c, nil
}

// get implements tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Looked at before they are read: what is written meanwhile is seen next time.
	files := c.look()
	if sameFile(files[0], c.files[0]) && sameFile(files[1], c.files[1]) {
		return c.pair, nil
	}
	c.files = files
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Error().Err(errPair).Msg("the console's certificate has changed and cannot be used: the old one stays in use")
		return c.pair, nil
	}
	c.pair = &pair
	c.log.Info().Msg("the console's certificate was read again")
	return c.pair, nil
}

// look returns what the files are now; nil for one that is not there.
func (c *certificate) look() (files [2]fs.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			files[i] = info
		}
	}
	return files
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
