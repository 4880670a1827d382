package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// maxIdle is below the nine to ten minutes after which brokers close idle
// connections, so that a request is not sent into a closing one.
const maxIdle = 4 * time.Minute

// maxAnswer bounds what a broker can make us allocate. Fetches ask for far
// less; only a single batch of that size would be cut off, with an error.
const maxAnswer = 128 << 20

// ErrVersion is returned (wrapped) when a broker does not offer a version of a
// request that we can speak.
var ErrVersion = errors.New("the broker is too old or too new for this request")

// ErrNotSent is returned (wrapped) for a request of which not one byte has been
// sent: a definite no, which may be asked for again.
var ErrNotSent = errors.New("nothing was sent")

// notSent makes an error ErrNotSent without a word.
type notSent struct{ error }

func (notSent) Is(target error) bool { return target == ErrNotSent }
func (e notSent) Unwrap() error      { return e.error }

// conn is one connection to one broker, for one request at a time. Its reader
// sees the connection's end at once, whether anybody waits for an answer or not.
type conn struct {
	net.Conn          // what is spoken through: TLS, or raw itself
	raw      net.Conn // what is closed: TLS's own Close waits for a peer that hangs
	clientID string
	ranges   map[protocol.ApiKey][2]int16
	features map[string]int16
	lane     lane
	expires  time.Time // SASL session's end; zero = none
	until    time.Time // when it ends by itself; zero = it does not
	muted    time.Time // until when the broker leaves further requests unread
	id       int32     // of the last request
	spent    bool      // to be used no more

	awaited atomic.Int32 // correlation id of the request under way; 0 = none
	answers chan []byte  // what the reader read for it; room for one
	closing sync.Once
	ours    atomic.Bool // it was we who closed it
	ended   chan struct{}
	err     error // why, after ended
}

func newConn(raw, spoken net.Conn, clientID string) *conn {
	return &conn{Conn: spoken, raw: raw, clientID: clientID, answers: make(chan []byte, 1), ended: make(chan struct{})}
}

// end closes the connection. It never waits for the peer.
func (cn *conn) end() {
	cn.ours.Store(true)
	cn.shut()
}

func (cn *conn) shut() { cn.closing.Do(func() { _ = cn.raw.Close() }) }

// read hands on each answer until the connection ends, and says why it did.
func (cn *conn) read() error {
	for {
		answer, err := cn.next()
		if err != nil {
			cn.err = err
			cn.shut()
			close(cn.ended)
			return err
		}
		cn.answers <- answer
	}
}

// next reads one answer, size and correlation id included.
func (cn *conn) next() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(cn, head[:]); err != nil {
		return nil, fmt.Errorf("awaiting the answer: %w", Shown(err))
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > maxAnswer {
		return nil, fmt.Errorf("%w: an answer of %d bytes", ErrMalformed, size)
	}
	id := int32(binary.BigEndian.Uint32(head[4:]))
	if !cn.awaited.CompareAndSwap(id, 0) || id == 0 {
		return nil, fmt.Errorf("%w: answer %d that was not asked for", ErrMalformed, id)
	}
	answer := make([]byte, 4+size)
	copy(answer, head[:])
	if _, err := io.ReadFull(cn, answer[8:]); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", Shown(err))
	}
	return answer, nil
}

// rest lets a connection that nobody uses end by itself after a while.
func (cn *conn) rest(now time.Time) {
	cn.until = now.Add(maxIdle)
	if !cn.expires.IsZero() && cn.expires.Before(cn.until) {
		cn.until = cn.expires
	}
	// Where it fails the connection has ended. It is later than the last use, so
	// that none begins when the end is on its way.
	_ = cn.SetReadDeadline(cn.until.Add(time.Second))
}

// wake takes a connection out of its rest.
func (cn *conn) wake() {
	cn.until = cn.expires
	_ = cn.SetReadDeadline(time.Time{})
}

// usable tells whether a request can be sent at the given time.
func (cn *conn) usable(now time.Time) bool {
	select {
	case <-cn.ended:
		return false
	default:
	}
	return !cn.spent && (cn.until.IsZero() || now.Before(cn.until))
}

// version picks the highest version both sides know.
func (cn *conn) version(key protocol.ApiKey, lo, hi int16) (int16, error) {
	if cn.ranges == nil { // before ApiVersions was answered
		return hi, nil
	}
	r, ok := cn.ranges[key]
	if v := min(hi, r[1]); ok && v >= lo && v >= r[0] {
		return v, nil
	}
	return 0, fmt.Errorf("%w: %s versions %d to %d, the broker has %d to %d", ErrVersion, key, lo, hi, r[0], r[1])
}

// newID is never 0.
func (cn *conn) newID() int32 {
	cn.id = cn.id&math.MaxInt32 + 1
	return cn.id
}

// frames are request buffers. A large one is not kept: it would be as long as
// the connection.
var frames = sync.Pool{New: func() any { return new([]byte) }}

const maxKeptFrame = 4 << 20

// do sends a request of ours and fills in its answer.
func (cn *conn) do(ctx context.Context, m Request) error {
	lo, hi := m.versions()
	v, err := cn.version(m.key(), lo, hi)
	if err != nil {
		return err
	}
	frame := frames.Get().(*[]byte)
	defer func() {
		if cap(*frame) <= maxKeptFrame {
			frames.Put(frame)
		}
	}()
	flexible := m.flexible(v)
	e := &encoder{buf: append((*frame)[:0], 0, 0, 0, 0)}
	e.int16(int16(m.key()))
	e.int16(v)
	e.int32(cn.newID())
	e.string(cn.clientID) // its length is never compact
	e.flexible = flexible
	e.tags()
	m.encode(e, v)
	binary.BigEndian.PutUint32(e.buf, uint32(len(e.buf)-4))
	*frame = e.buf
	answer, err := cn.roundTrip(ctx, e.buf)
	if err != nil {
		return err
	}
	d := &decoder{buf: answer[8:], flexible: flexible}
	// ApiVersions' answer keeps the old header, so that any client can read it.
	if m.key() != protocol.ApiVersions {
		d.tags(nil)
	}
	m.decode(d, v)
	cn.throttled(d.throttle)
	return d.err
}

// exchange sends one of kafka-go's messages and returns its answer.
func (cn *conn) exchange(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	key := m.ApiKey()
	hi := key.MaxVersion()
	if key == protocol.SyncGroup {
		hi = 3 // kafka-go's version 5 cannot write null strings, 4 is not needed
	}
	v, err := cn.version(key, key.MinVersion(), hi)
	if err != nil {
		return nil, err
	}
	var frame bytes.Buffer
	if err := protocol.WriteRequest(&frame, v, cn.newID(), cn.clientID, m); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", key, Shown(err))
	}
	answer, err := cn.roundTrip(ctx, frame.Bytes())
	if err != nil {
		return nil, err
	}
	_, res, err := protocol.ReadResponse(bytes.NewReader(answer), key, v)
	if err != nil {
		return nil, fmt.Errorf("%w: decoding %s: %w", ErrMalformed, key, err)
	}
	forgetEpochs(res, v)
	cn.throttled(throttleOf(res))
	return res, nil
}

// throttleOf is the throttle time of one of kafka-go's answers, in ms.
func throttleOf(res protocol.Message) int32 {
	v := reflect.ValueOf(res).Elem()
	for _, name := range []string{"ThrottleTimeMs", "ThrottleTimeMS"} {
		if f := v.FieldByName(name); f.IsValid() {
			return int32(f.Int())
		}
	}
	return 0
}

// throttled notes for how many ms the broker will leave further requests on the
// connection unread, because a quota is spent (KIP-219).
func (cn *conn) throttled(ms int32) {
	if ms > 0 {
		cn.muted = time.Now().Add(time.Duration(ms) * time.Millisecond)
	}
}

// roundTrip writes a frame and returns the answer's, size and correlation id
// included. After an error other than ErrNotSent the connection is of no use any
// more.
func (cn *conn) roundTrip(ctx context.Context, frame []byte) ([]byte, error) {
	select {
	case <-cn.ended:
		return nil, notSent{cn.err}
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, notSent{err}
	}
	cn.awaited.Store(cn.id)
	stop := context.AfterFunc(ctx, cn.end)
	answer, err := cn.transfer(frame)
	if !stop() {
		cn.spent = true // it is being closed; the answer may be whole all the same
	}
	if err != nil {
		cn.end()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return answer, err
}

func (cn *conn) transfer(frame []byte) ([]byte, error) {
	if _, err := cn.Write(frame); err != nil {
		return nil, fmt.Errorf("sending: %w", Shown(err))
	}
	select {
	case answer := <-cn.answers:
		return answer, nil
	case <-cn.ended:
	}
	select {
	case answer := <-cn.answers:
		return answer, nil
	default:
		return nil, cn.err
	}
}
