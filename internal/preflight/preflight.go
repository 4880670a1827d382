// Package preflight tries what the service will do, without leaving a trace:
// can Kafka be reached, do the topics fit, may we write transactions, and does
// each OneLogin account answer. It is what the check command prints.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onelogin-kafka/source"
)

// Result is the outcome of one check.
type Result struct {
	// Target is "kafka" or the connector's name.
	Target string
	// Check says what was tried, for Kafka; empty for a connector.
	Check string
	// Detail is what was found, where there is more to say than yes.
	Detail string
	Took   time.Duration
	// Failure is nil if all is well.
	Failure *Failure
}

// Failure says in one line what is wrong, and in one sentence what to do.
type Failure struct {
	Stage   string // of a connector: "Configuration", "Authentication", "Fetch Logs" or "Validation"
	Message string
	Advice  string
	// Cause is the error behind Message; empty where that says all.
	Cause string
	// RequestID is what OneLogin's support asks for; empty if unknown.
	RequestID string
}

// String is "<Stage> Stage: <Message> - <Advice> (<Cause>)", and the request id.
func (f *Failure) String() string {
	s := f.Message
	if f.Stage != "" {
		s = f.Stage + " Stage: " + s
	}
	if f.Advice != "" {
		s += " - " + f.Advice
	}
	if f.Cause != "" {
		s += " (" + f.Cause + ")"
	}
	if f.RequestID != "" {
		s += fmt.Sprintf(" (request id %.80q)", f.RequestID)
	}
	return s
}

// The words of DNIF for what has no words in OneLogin's answer.
const (
	stageValidation = "Validation"
	msgTimeout      = "Request Timeout"
	msgUnknown      = "Unknown Error"
)

// connectorTimeout bounds the check of one connector.
const connectorTimeout = time.Minute

// Client is the part of onelogin.Client that is tried.
type Client interface {
	Check(ctx context.Context, progress func(stage string)) error
}

// Connector checks one account.
func Connector(ctx context.Context, name string, client Client) Result {
	cctx, cancel := context.WithTimeout(ctx, connectorTimeout)
	defer cancel()
	began := time.Now()
	err := client.Check(cctx, nil)
	return Result{Target: name, Took: time.Since(began), Failure: FailureOf(ctx, err)}
}

// FailureOf puts an error of a Client, or of making one, in words. ctx is that
// of the whole check.
func FailureOf(ctx context.Context, err error) *Failure {
	if err == nil {
		return nil
	}
	if api, ok := errors.AsType[*source.APIError](err); ok {
		f := &Failure{Stage: api.Stage, Message: api.Message, Advice: api.Advice, RequestID: api.RequestID}
		if api.Err != nil {
			f.Cause = api.Err.Error()
		}
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &Failure{Stage: stageValidation, Message: msgTimeout, Advice: "OneLogin did not answer in time; try again later."}
	}
	return &Failure{Stage: stageValidation, Message: msgUnknown, Advice: "The check ended early: " + err.Error() + "."}
}
