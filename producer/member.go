package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/syncgroup"

	"onelogin-kafka/producer/wire"
)

// ErrInstanceFenced is returned (wrapped) when another process has joined the
// group under our instance name: two live instances must not share one.
var ErrInstanceFenced = errors.New("another process runs under the same instance name")

// ErrForeignGroup is returned (wrapped) when consumers that are no instances of
// this service are in the group: Kafka lets only one kind in.
var ErrForeignGroup = errors.New("the group is used by consumers of another kind")

// Timing of the group. The session timeout is the least a stock broker allows
// (group.min.session.timeout.ms), so that the shards of a killed instance move
// soon; heartbeats are frequent, since an instance learns of a rebalance by one.
const (
	sessionTimeout    = 6 * time.Second
	rebalanceTimeout  = 8 * time.Second
	heartbeatInterval = 300 * time.Millisecond
	heartbeatTimeout  = 2 * time.Second
	leaveTimeout      = 2 * time.Second
	// maxStray bounds how often two instances of one name can fence each other
	// before one of them ends.
	maxStray = 3
	// strayWithin bounds how late a request of our own may still arrive.
	strayWithin       = 5 * time.Minute
	groupProtocolType = "consumer"
)

// member keeps one instance in the consumer group, which is used for assignment
// only. It is a static member (KIP-345): a process that was killed and starts
// again under the same name is back without a rebalance. Its goroutine owns the
// membership; the shards learn of it through assigned and confirm.
type member struct {
	cluster  *wire.Cluster
	group    string
	instance string
	topic    string // the offsets topic, whose partitions are the shards
	// balance is called when this member leads the group.
	balance func(members []claim) map[string][]int32
	// assigned is called with each generation's shards. It must not block.
	assigned func(generation int32, shards []int32)
	// trouble is called when the membership is in doubt, nil when it is sound.
	trouble func(error)
	// events is how many events a second one of our shards has of late.
	events func(shard int32) int32

	coordinator int32
	id          string
	generation  int32
	owned       []int32
	// stray counts joins under no member id whose answer never came: each may
	// reach the coordinator late and fence us as another process would, and each
	// may have made us a member. strayed is when the last was sent.
	stray   int
	strayed time.Time
	// unproven is a member id that only one coordinator's memory may have: until
	// the group is written down, which SyncGroup's answer tells. A coordinator
	// that was asleep while another took its place gives such ids, and the other
	// one takes whoever has them for an impostor.
	unproven bool

	kick  chan struct{} // asks for a heartbeat now
	mu    sync.Mutex
	sound time.Time     // when the last successful heartbeat or join was sent
	beat  chan struct{} // closed and replaced when sound moves
}

func newMember(cluster *wire.Cluster, group, instance, topic string) *member {
	return &member{
		cluster: cluster, group: group, instance: instance, topic: topic,
		coordinator: -1, generation: -1, kick: make(chan struct{}, 1), beat: make(chan struct{}),
		events: func(int32) int32 { return 0 },
	}
}

// run holds the membership until ctx ends, then leaves. The only other errors
// are those that trying again cannot mend.
func (m *member) run(ctx context.Context) error {
	wait := newBackoff(50*time.Millisecond, 2*time.Second)
	for overtaken := 0; ; {
		err := m.generationOnce(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to leave, it has left
		}
		if errors.Is(err, ErrInstanceFenced) || errors.Is(err, wire.ErrVersion) {
			return err
		}
		if err == nil { // a rebalance
			wait.Reset()
			overtaken = 0
			continue
		}
		// Another has joined before all knew their shards, as when several start at
		// once: the group has answered, and only a long row of these is trouble.
		if overtaken++; overtaken > mostOvertaken || !errors.Is(err, kafka.RebalanceInProgress) {
			m.coordinator = -1
			m.trouble(err)
		}
		if pause(ctx, wait.NextBackOff()) != nil {
			return nil //nolint:nilerr // told to leave, it has left
		}
	}
}

// mostOvertaken is how often in a row joining may be overtaken by another's
// without a word.
const mostOvertaken = 5

// generationOnce joins the group and keeps the membership alive until the
// generation ends: nil for a rebalance.
func (m *member) generationOnce(ctx context.Context) error {
	sent := time.Now()
	shards, err := m.join(ctx)
	if err != nil {
		return fmt.Errorf("joining group %s: %w", m.group, err)
	}
	m.owned = shards
	m.assigned(m.generation, shards)
	m.trouble(nil)
	m.confirmed(sent)
	tick := time.NewTicker(heartbeatInterval)
	defer tick.Stop()
	lost := newBackoff(50*time.Millisecond, time.Second)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-m.kick:
		}
		again, err := m.heartbeat(ctx)
		switch {
		case err == nil && again:
			return nil
		case err == nil:
			lost.Reset()
		case errors.Is(err, errLostMembership), errors.Is(err, ErrInstanceFenced):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		default: // no answer is no verdict: ask again, maybe another coordinator
			m.trouble(err)
			m.coordinator = -1
			if pause(ctx, lost.NextBackOff()) != nil {
				return ctx.Err()
			}
		}
	}
}

var errLostMembership = errors.New("the group has gone on without this instance")

func (m *member) heartbeat(ctx context.Context) (rebalance bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	node, err := m.findCoordinator(ctx)
	if err != nil {
		return false, err
	}
	sent := time.Now()
	h := &wire.Heartbeat{GroupID: m.group, MemberID: m.id, InstanceID: m.instance, Generation: m.generation}
	if err := m.cluster.Do(ctx, node, h); err != nil {
		return false, err
	}
	switch h.ErrorCode {
	case codeNone:
		m.trouble(nil)
		m.confirmed(sent)
		return false, nil
	case codeRebalanceInProgress:
		return true, nil
	}
	return false, m.judge(h.ErrorCode)
}

// judge turns a group coordinator's error code into an error, and forgets what
// it says is no longer true.
func (m *member) judge(code int16) error {
	switch code {
	case codeUnknownMember:
		m.forget()
		m.assigned(-1, nil)
		return fmt.Errorf("%w (%s)", errLostMembership, kafka.Error(code).Title())
	case codeIllegalGeneration:
		return fmt.Errorf("%w (%s)", errLostMembership, kafka.Error(code).Title())
	case codeFencedInstanceID:
		m.assigned(-1, nil)
		switch {
		case m.unproven:
			m.forget()
			return fmt.Errorf("%w (%s, under a member id that was never written down)", errLostMembership, kafka.Error(code).Title())
		case m.stray > 0 && time.Since(m.strayed) < strayWithin:
			m.stray--
			m.forget()
			return fmt.Errorf("%w (%s, maybe by a late request of our own)", errLostMembership, kafka.Error(code).Title())
		}
		return fmt.Errorf("%w: %q; stop one of them, or give each its own with `instance:`", ErrInstanceFenced, m.instance)
	}
	if code == codeInconsistentProtocol {
		return fmt.Errorf("%w: group %s; give `group` a name of its own, or stop what kafka-consumer-groups.sh --bootstrap-server … --describe --members --group %s shows", ErrForeignGroup, m.group, m.group)
	}
	if err := wire.Denied(code, "Read", wire.ResourceGroup, m.group); err != nil {
		return err
	}
	return kafka.Error(code)
}

// forget lets the next join be that of a new member under our instance name.
func (m *member) forget() { m.id, m.owned, m.unproven = "", nil, false }

func (m *member) findCoordinator(ctx context.Context) (int32, error) {
	if m.coordinator < 0 {
		node, err := m.cluster.Coordinator(ctx, wire.GroupCoordinator, m.group)
		if err != nil {
			return -1, err
		}
		m.coordinator = node
	}
	return m.coordinator, nil
}

// join goes through JoinGroup and SyncGroup and returns our shards.
func (m *member) join(ctx context.Context) ([]int32, error) {
	// The coordinator answers once all members have joined.
	ctx, cancel := context.WithTimeout(ctx, rebalanceTimeout+sessionTimeout)
	defer cancel()
	node, err := m.findCoordinator(ctx)
	if err != nil {
		return nil, err
	}
	res, err := m.cluster.Exchange(ctx, node, &joingroup.Request{
		GroupID: m.group, MemberID: m.id, GroupInstanceID: m.instance,
		SessionTimeoutMS: int32(sessionTimeout.Milliseconds()), RebalanceTimeoutMS: int32(rebalanceTimeout.Milliseconds()),
		ProtocolType: groupProtocolType,
		Protocols:    encodeClaims(m.topic, m.generation, m.owned, m.events),
	})
	if err != nil {
		if m.id == "" {
			m.stray, m.strayed = min(m.stray+1, maxStray), time.Now()
		}
		return nil, err
	}
	joined := res.(*joingroup.Response)
	if joined.ErrorCode == codeMemberIDRequired {
		m.id, m.unproven = joined.MemberID, true
		return nil, kafka.Error(joined.ErrorCode)
	}
	if joined.ErrorCode != codeNone {
		return nil, m.judge(joined.ErrorCode)
	}
	m.unproven = m.unproven || joined.MemberID != m.id
	m.id, m.generation = joined.MemberID, joined.GenerationID
	return m.sync(ctx, node, joined)
}

func (m *member) sync(ctx context.Context, node int32, joined *joingroup.Response) ([]int32, error) {
	req := &syncgroup.Request{GroupID: m.group, GenerationID: m.generation, MemberID: m.id, GroupInstanceID: m.instance}
	// A leader that comes back as a static member is not given the members, and
	// must not assign: the coordinator still has the assignment.
	if joined.LeaderID == m.id && len(joined.Members) > 0 {
		claims := make([]claim, 0, len(joined.Members))
		for _, jm := range joined.Members {
			claims = append(claims, decodeClaim(joined.ProtocolName, jm.MemberID, jm.GroupInstanceID, jm.Metadata))
		}
		for id, shards := range m.balance(claims) {
			req.Assignments = append(req.Assignments, syncgroup.RequestAssignment{MemberID: id, Assignment: encodeAssignment(m.topic, shards)})
		}
	}
	res, err := m.cluster.Exchange(ctx, node, req)
	if err != nil {
		return nil, err
	}
	r := res.(*syncgroup.Response)
	if r.ErrorCode != codeNone {
		return nil, m.judge(r.ErrorCode)
	}
	m.unproven = false
	return decodeAssignment(r.Assignments)
}

// confirmed notes that the group took our word at a time not before sent.
func (m *member) confirmed(sent time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sound = sent
	close(m.beat)
	m.beat = make(chan struct{})
}

// confirm waits for a heartbeat that was sent after the call and says that the
// membership is sound. Whoever loses a shard in the meantime has its context
// cancelled by then.
func (m *member) confirm(ctx context.Context) error {
	asked := time.Now()
	for {
		m.mu.Lock()
		sound, beat := m.sound, m.beat
		m.mu.Unlock()
		if sound.After(asked) {
			return ctx.Err()
		}
		select {
		case m.kick <- struct{}{}:
		default:
		}
		select {
		case <-beat:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave tells the coordinator that the instance goes, so that its shards move
// at once. Failing that, they move when the session times out. A join that was
// never answered may have made us a member too: one whose id we do not know,
// who is taken out by name, as an administrator would (KIP-345).
func (m *member) leave(ctx context.Context) error {
	if m.id == "" && m.stray == 0 {
		return nil
	}
	node, err := m.findCoordinator(ctx)
	if err != nil {
		return fmt.Errorf("leaving group %s: %w", m.group, err)
	}
	l := &wire.LeaveGroup{GroupID: m.group, MemberID: m.id, InstanceID: m.instance}
	if err := m.cluster.Do(ctx, node, l); err != nil {
		return fmt.Errorf("leaving group %s: %w", m.group, err)
	}
	if m.id == "" && l.ErrorCode == codeUnknownMember {
		return nil // the join has not been heard
	}
	if l.ErrorCode != codeNone {
		return fmt.Errorf("leaving group %s: %w", m.group, kafka.Error(l.ErrorCode))
	}
	return nil
}
