package wire

import (
	"fmt"
	"strings"

	kafka "github.com/segmentio/kafka-go"
)

// The kinds of resources that rights are granted on, as Kafka's tools write
// them.
const (
	ResourceTopic           = "topic"
	ResourceGroup           = "group"
	ResourceTransactionalID = "transactional id"
)

// DeniedError says that the brokers refused a request for lack of a right (ACL).
// It unwraps to Kafka's error.
type DeniedError struct {
	Code kafka.Error
	// Right is the operation to grant, e.g. "Write", on the resource Name of the
	// kind Resource.
	Right, Resource, Name string
}

// Error implements error, e.g. "not allowed to write topic a: grant Write on
// topic a to the principal we log in as".
func (e *DeniedError) Error() string {
	return fmt.Sprintf("not allowed to %s %s %s: grant %s on it to the principal we log in as", strings.ToLower(e.Right), e.Resource, e.Name, e.Right)
}

// Unwrap returns Kafka's error.
func (e *DeniedError) Unwrap() error { return e.Code }

// Denied returns a *DeniedError if code, which a broker answered with, says that
// we lack a right on the resource; nil for every other code.
func Denied(code int16, right, resource, name string) error {
	switch kafka.Error(code) {
	case kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.TransactionalIDAuthorizationFailed:
		return &DeniedError{Code: kafka.Error(code), Right: right, Resource: resource, Name: name}
	}
	return nil
}
