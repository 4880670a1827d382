package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// Server is a listener that is open.
type Server struct {
	opts     Options
	listener net.Listener
	tls      *tls.Config // nil for plain HTTP
}

// Listen opens the listener, so that a taken port and a certificate that cannot
// be used are errors at the start.
func Listen(opts Options) (*Server, error) {
	s := &Server{opts: opts}
	if opts.CertFile != "" {
		c, err := newCertificate(opts.CertFile, opts.KeyFile, opts.Log)
		if err != nil {
			return nil, err
		}
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	}
	l, err := net.Listen("tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on http.listen: %w", err)
	}
	s.listener = l
	return s, nil
}

// Addr is the address listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is where a browser on this machine finds the console.
func (s *Server) URL() string {
	if s.tls != nil {
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	// Streams end with the server's context; they would hold up its end.
	sctx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	srv := &http.Server{
		Handler:           Handler(s.opts),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		TLSConfig:         s.tls,
		ErrorLog:          log.New(complaints{s.opts.Log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Minute})}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return sctx },
	}
	stop := context.AfterFunc(ctx, func() {
		end()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	defer stop()
	var err error
	if s.tls != nil {
		err = srv.ServeTLS(s.listener, "", "")
	} else {
		err = srv.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving HTTP: %w", err)
}

// complaints takes what net/http has to say of connections: a few a minute,
// since whoever connects can cause them.
type complaints struct{ log zerolog.Logger }

// Write implements io.Writer.
func (c complaints) Write(line []byte) (int, error) {
	c.log.Warn().Str("reason", strings.TrimSpace(string(line))).Msg("a connection to the console was no good")
	return len(line), nil
}
