// Package embedded runs a Kafka broker inside the process, for the demo and for
// development: franz-go's kfake with its log in a folder. It is no replacement
// for a cluster: one broker, one copy, no compaction (the folder grows until it
// is deleted). What it does promise is that a process that is killed at any
// instruction and started again on the same folder finds every transaction
// whole or not at all.
package embedded

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options say where a broker keeps its log.
type Options struct {
	// Dir is the data folder; it is created if needed. One process at a time
	// may use it.
	Dir string
	// Sync writes every batch to the disk before it is acknowledged, so that a
	// power failure loses nothing either. Without it only a crash of the
	// machine can lose or tear what was committed, never that of the process.
	Sync bool
	Log  zerolog.Logger
}

// Broker is a running broker on a loopback port.
type Broker struct {
	cluster *kfake.Cluster
	lock    *os.File
	dir     string
	addrs   []string
}

// ErrInUse is returned (wrapped) by Start when another process uses the folder.
var ErrInUse = errors.New("another process uses this folder")

// addressFile has the broker's address while it runs, and what it was before.
const addressFile = "address"

// Start starts a broker on a folder, where it left off. It listens on the port
// it had before if that is free, else on any.
func Start(o Options) (*Broker, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	lock, err := lockDir(filepath.Join(o.Dir, "lock"))
	for range 10 { // whoever asks whether one is running holds it for a moment
		if !errors.Is(err, ErrInUse) {
			break
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // another process's lock tells nobody when it is free
		lock, err = lockDir(filepath.Join(o.Dir, "lock"))
	}
	if err != nil {
		return nil, fmt.Errorf("starting the embedded broker on %s: %w", o.Dir, err)
	}
	b := &Broker{lock: lock, dir: o.Dir}
	if err := b.start(o); err != nil {
		lock.Close()
		return nil, fmt.Errorf("starting the embedded broker on %s: %w", o.Dir, err)
	}
	return b, nil
}

func (b *Broker) start(o Options) error {
	data := filepath.Join(o.Dir, "kafka")
	fixed, err := repair(data)
	if err != nil {
		return err
	}
	if fixed != (repaired{}) {
		o.Log.Info().Int("committed", fixed.committed).Int("aborted", fixed.aborted).Int("cut", fixed.cut).
			Msg("the embedded broker was killed: open transactions are decided")
	}
	before, _ := os.ReadFile(filepath.Join(o.Dir, addressFile)) // none at the first start
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("embedded"),
		kfake.DataDir(data),
		kfake.WithLogger(logger{o.Log}),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			if l, err := net.Listen(network, strings.TrimSpace(string(before))); err == nil && loopback(l) {
				return l, nil
			}
			return net.Listen(network, address)
		}),
		// kfake's compaction may drop the last committed value of a key while a
		// transaction is open, and rewrites a log in place, which a kill would
		// lose: it must never run.
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": strconv.FormatInt((100 * 365 * 24 * time.Hour).Milliseconds(), 10)}),
	}
	if o.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		return err
	}
	b.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		wholeAnswer(req)
		return nil, nil, false
	})
	b.addrs = b.cluster.ListenAddrs()
	if err := os.WriteFile(filepath.Join(o.Dir, addressFile), []byte(b.addrs[0]+"\n"), 0o600); err != nil {
		b.cluster.Close()
		return err
	}
	return nil
}

// wholeAnswer lifts a fetch's bound over all partitions; each partition's own
// stays. When an answer is cut off by the former, kfake leaves out the list of
// aborted transactions, and a reader would take their records for committed.
func wholeAnswer(req kmsg.Request) {
	if f, ok := req.(*kmsg.FetchRequest); ok {
		f.MaxBytes = math.MaxInt32
	}
}

func loopback(l net.Listener) bool {
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		return true
	}
	l.Close()
	return false
}

// Addrs are the bootstrap addresses, host:port.
func (b *Broker) Addrs() []string { return b.addrs }

// Close stops the broker. Clients should have ended before.
func (b *Broker) Close() {
	b.cluster.Close()
	b.lock.Close()
}

// Running returns the addresses of the broker that another process runs on a
// folder; false if none does.
func Running(dir string) ([]string, bool) {
	lock, err := lockDir(filepath.Join(dir, "lock"))
	if err == nil {
		lock.Close()
		return nil, false
	}
	if !errors.Is(err, ErrInUse) {
		return nil, false
	}
	text, err := os.ReadFile(filepath.Join(dir, addressFile))
	addr := strings.TrimSpace(string(text))
	return []string{addr}, err == nil && addr != ""
}

// logger passes on what is worth an operator's attention.
type logger struct{ log zerolog.Logger }

// Logf implements kfake.Logger.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error().Str("part", "embedded broker").Msgf(format, args...)
	case kfake.LogLevelWarn:
		l.log.Debug().Str("part", "embedded broker").Msgf(format, args...)
	}
}
