package producer

import (
	"context"
	"errors"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/xdg-go/scram"
)

// scramMechanism is SASL SCRAM (RFC 5802) as Kafka has it: names and passwords
// are their UTF-8, without the SASLprep that RFC 5802 asks for. So a password
// works here as in Kafka's own tools; and preparing one fails with an error that
// quotes it.
type scramMechanism struct {
	name   string
	client *scram.Client
}

// Why a SCRAM exchange ended. The library's own errors are not passed on: it was
// handed the password, and quotes what the broker sends.
var (
	errScramStart  = errors.New("the password or user name cannot be used for SCRAM")
	errScramAnswer = errors.New("the broker's answer is no SCRAM that can be trusted")
	errScramProof  = errors.New("the broker did not prove that it knows the password")
)

func newScram(name string, hash scram.HashGeneratorFcn, username, password string) (sasl.Mechanism, error) {
	client, err := hash.NewClientUnprepped(username, password, "")
	if err != nil {
		return nil, errScramStart
	}
	return &scramMechanism{name: name, client: client}, nil
}

// Name implements sasl.Mechanism.
func (m *scramMechanism) Name() string { return m.name }

// Start implements sasl.Mechanism.
func (m *scramMechanism) Start(context.Context) (sasl.StateMachine, []byte, error) {
	talk := m.client.NewConversation()
	first, err := talk.Step("")
	if err != nil {
		return nil, nil, errScramStart
	}
	return &scramExchange{talk: talk}, []byte(first), nil
}

// scramExchange is one authentication.
type scramExchange struct{ talk *scram.ClientConversation }

// Next implements sasl.StateMachine.
func (x *scramExchange) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	answer, err := x.talk.Step(string(challenge))
	switch {
	case err != nil && x.talk.Done():
		return false, nil, errScramProof
	case err != nil:
		return false, nil, errScramAnswer
	}
	return x.talk.Done(), []byte(answer), nil
}
