package simulator

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// Transport returns a way to the Server without a network, for clients in the
// same process and for tests with a simulated clock. Answers are streamed, a
// cut connection is io.ErrUnexpectedEOF. It does not ask for gzip by itself.
// The Server's goroutine of a call ends when the answer's body is read to its
// end or closed.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ handler http.Handler }

// exchange is one call on its way.
type exchange struct {
	header http.Header
	sent   http.Header
	status int
	ready  chan struct{} // closed when the header is sent or never will be
	once   sync.Once
	body   *io.PipeWriter
	buffer *bufio.Writer
}

func (e *exchange) Header() http.Header { return e.header }

func (e *exchange) WriteHeader(status int) {
	e.once.Do(func() {
		e.status, e.sent = status, e.header.Clone()
		close(e.ready)
	})
}

func (e *exchange) Write(p []byte) (int, error) {
	e.WriteHeader(http.StatusOK)
	return e.buffer.Write(p)
}

// FlushError is found by http.ResponseController.
func (e *exchange) FlushError() error { return e.buffer.Flush() }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	e := &exchange{header: http.Header{}, ready: make(chan struct{}), body: writer, buffer: bufio.NewWriter(writer)}
	context.AfterFunc(ctx, func() { _ = writer.CloseWithError(ctx.Err()) }) // never fails
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.run(t.handler, in)
	}()
	select {
	case <-e.ready:
	case <-ctx.Done():
	}
	if err := r.Context().Err(); err != nil {
		cancel()
		<-done
		return nil, err
	}
	if e.status == 0 {
		cancel()
		<-done
		return nil, io.ErrUnexpectedEOF
	}
	length, err := strconv.ParseInt(e.sent.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1 // unknown
	}
	return &http.Response{
		Status: strconv.Itoa(e.status) + " " + http.StatusText(e.status), StatusCode: e.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: e.sent, ContentLength: length, Request: r,
		Body: &answer{PipeReader: reader, cancel: cancel, done: done},
	}, nil
}

// run answers a call and turns an aborted answer into a broken body.
func (e *exchange) run(h http.Handler, r *http.Request) {
	end := io.ErrUnexpectedEOF
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
		}
		if err := r.Context().Err(); err != nil {
			end = err // the client's own doing, however the handler took it
		}
		e.once.Do(func() { close(e.ready) })
		_ = e.body.CloseWithError(end) // never fails
	}()
	h.ServeHTTP(e, r)
	e.WriteHeader(http.StatusOK)
	if e.buffer.Flush() == nil {
		end = io.EOF
	}
}

// answer is a body whose end is the end of its call.
type answer struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.PipeReader.Read(p)
	if err != nil {
		a.cancel()
	}
	return n, err
}

func (a *answer) Close() error {
	err := a.PipeReader.Close()
	a.cancel()
	<-a.done
	return err
}
