package producer

import (
	"errors"
	"fmt"

	kafka "github.com/segmentio/kafka-go"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/source"
)

// ErrTooLarge is source.ErrTooLarge.
var ErrTooLarge = source.ErrTooLarge

// ErrFenced is returned (wrapped) when another producer has taken over a
// transactional id, or the coordinator has given ours up: nothing more can be
// written with our identity.
var ErrFenced = errors.New("fenced: another producer has taken over")

// Kafka's error codes, as far as they decide what we do
// (Kafka's protocol, "Error Codes").
const (
	codeNone                    = 0
	codeCorruptMessage          = 2
	codeUnknownTopicOrPartition = 3
	codeLeaderNotAvailable      = 5
	codeNotLeader               = 6
	codeRequestTimedOut         = 7
	codeReplicaNotAvailable     = 9
	codeMessageTooLarge         = 10
	codeNetworkException        = 13
	codeCoordinatorLoading      = 14
	codeCoordinatorNotAvailable = 15
	codeNotCoordinator          = 16
	codeNotEnoughReplicas       = 19
	codeNotEnoughAfterAppend    = 20
	codeIllegalGeneration       = 22
	codeInconsistentProtocol    = 23
	codeUnknownMember           = 25
	codeRebalanceInProgress     = 27
	codeTopicNotAllowed         = 29
	codeTopicExists             = 36
	codeDuplicateSequence       = 46
	codeInvalidProducerEpoch    = 47
	codeInvalidTxnState         = 48
	codeConcurrentTransactions  = 51
	codeOperationNotAttempted   = 55
	codeKafkaStorage            = 56
	codeFencedLeaderEpoch       = 74
	codeUnknownLeaderEpoch      = 75
	codeMemberIDRequired        = 79
	codeFencedInstanceID        = 82
	codeProducerFenced          = 90
)

// kafkaError turns a broker's error code into an error, nil for none.
func kafkaError(code int16) error {
	switch code {
	case codeNone:
		return nil
	case codeInvalidProducerEpoch, codeInvalidTxnState, codeProducerFenced:
		return fmt.Errorf("%w (%s)", ErrFenced, kafka.Error(code).Title())
	}
	return kafka.Error(code)
}

// notYet tells whether a coordinator's answer is a definite "not now": nothing
// was done, the same request may be sent again.
func notYet(code int16) bool {
	switch code {
	case codeCoordinatorLoading, codeCoordinatorNotAvailable, codeNotCoordinator, codeConcurrentTransactions:
		return true
	}
	return false
}

// moved tells whether a leader's answer says that the same batch must be sent
// again, maybe to another broker. A batch that was appended all the same is
// recognised by its sequence numbers.
func moved(code int16) bool {
	switch code {
	case codeUnknownTopicOrPartition, codeLeaderNotAvailable, codeNotLeader, codeRequestTimedOut,
		codeReplicaNotAvailable, codeNetworkException, codeNotEnoughReplicas, codeNotEnoughAfterAppend,
		codeFencedLeaderEpoch, codeUnknownLeaderEpoch, codeConcurrentTransactions:
		return true
	}
	return false
}

// leaderless tells whether err means that a partition has no leader just now.
func leaderless(err error) bool {
	return errors.Is(err, wire.ErrNoLeader) || errors.Is(err, wire.ErrUnknownTopic)
}

// lasting tells whether err will come back until an operator mends something:
// a right, a credential, a broker's version. Asking again at once is of no use.
func lasting(err error) bool {
	if _, ok := errors.AsType[*wire.DeniedError](err); ok {
		return true
	}
	return errors.Is(err, wire.ErrCredentials) || errors.Is(err, wire.ErrAuthentication) || errors.Is(err, wire.ErrVersion)
}

// errNotAsked makes the failure to find whom to ask an error of a request that
// was not sent, without a word.
type errNotAsked struct{ error }

func (errNotAsked) Is(target error) bool { return target == wire.ErrNotSent }
func (e errNotAsked) Unwrap() error      { return e.error }

// unsent tells whether err means that nothing was sent, and that it may be
// later. It is no more than "not now", wherever the request stands.
func unsent(err error) bool { return errors.Is(err, wire.ErrNotSent) && !lasting(err) }

// lacking names the right that is needed of a topic where err says that we may
// not even see it: it brings that with it.
func lacking(right string, err error) error {
	if d, ok := errors.AsType[*wire.DeniedError](err); ok && d.Resource == wire.ResourceTopic {
		return wire.Denied(int16(d.Code), right, d.Resource, d.Name)
	}
	return err
}
