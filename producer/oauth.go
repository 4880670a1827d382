package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/segmentio/kafka-go/sasl"
)

// BearerToken gives the tokens of SASL OAUTHBEARER.
type BearerToken interface {
	// Token returns a token for a new connection. It must be safe for concurrent
	// use. Its errors hold no token, secret or answer of a server.
	Token(ctx context.Context) (string, error)
	// Refused says that a broker did not take a token: it is not to be returned
	// again unless there is no other.
	Refused(token string)
}

// FileToken is a BearerToken that something else keeps fresh, e.g. in a file. It
// is called for each new connection.
type FileToken func() (string, error)

// Token implements BearerToken.
func (f FileToken) Token(context.Context) (string, error) {
	token, err := f()
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	if !bearer.MatchString(token) {
		return "", fmt.Errorf("reading the token: %w", errNoBearer)
	}
	return token, nil
}

// Refused implements BearerToken: the next connection reads again anyhow.
func (f FileToken) Refused(string) {}

// bearer is what a token may look like (RFC 6750, section 2.1). Nothing in it
// can be taken for a separator of the SASL message.
var bearer = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

var errNoBearer = errors.New("it is no bearer token (RFC 6750): letters, digits and -._~+/ only")

// oauthBearer is the SASL mechanism OAUTHBEARER (RFC 7628, KIP-255). Extensions
// (KIP-342) are further keys and values for the broker: some providers route by
// them.
type oauthBearer struct {
	tokens     BearerToken
	extensions map[string]string
}

// Name implements sasl.Mechanism.
func (m oauthBearer) Name() string { return MechanismOAuthBearer }

// Start implements sasl.Mechanism. The token's owner is who we are, so no other
// identity is asked for.
func (m oauthBearer) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	token, err := m.tokens.Token(ctx)
	if err != nil {
		return nil, nil, err
	}
	message := "n,,\x01auth=Bearer " + token + "\x01"
	for _, key := range slices.Sorted(maps.Keys(m.extensions)) {
		value := m.extensions[key]
		if !ValidExtension(key, value) {
			return nil, nil, fmt.Errorf("SASL extension %.40q: %w", key, errExtension)
		}
		message += key + "=" + value + "\x01"
	}
	return &oauthExchange{tokens: m.tokens, token: token}, []byte(message + "\x01"), nil
}

var errExtension = errors.New("a key is letters, and not auth; a value is printable ASCII")

// ValidExtension tells whether a SASL extension can be sent: its key is letters,
// its value printable ASCII (RFC 7628, section 3.1). auth is the token's.
func ValidExtension(key, value string) bool {
	return key != "auth" && extensionKey.MatchString(key) && extensionValue.MatchString(value)
}

var (
	extensionKey   = regexp.MustCompile(`^[A-Za-z]{1,64}$`)
	extensionValue = regexp.MustCompile(`^[ -~]{1,1000}$`)
)

// oauthExchange is one authentication: an empty answer is a yes. A no is a JSON
// object, to be acknowledged with 0x01, upon which the broker says no again,
// with an error code (RFC 7628, section 3.2.3).
type oauthExchange struct {
	tokens BearerToken
	token  string
	failed error
}

// Next implements sasl.StateMachine.
func (x *oauthExchange) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if x.failed != nil {
		return false, nil, x.failed
	}
	if len(challenge) == 0 {
		return true, nil, nil
	}
	x.failed = &TokenRefusedError{Status: refusalStatus(challenge)}
	x.tokens.Refused(x.token)
	return false, []byte{1}, nil
}

// Refusal says why the broker has refused the token, nil if it has not: the
// error code that ends the exchange does not say.
func (x *oauthExchange) Refusal() error { return x.failed }

// TokenRefusedError says that a broker did not take our token.
type TokenRefusedError struct {
	// Status is the broker's word for why, e.g. "invalid_token"; empty if it
	// said nothing that can be shown.
	Status string
}

// Error implements error.
func (e *TokenRefusedError) Error() string {
	if e.Status == "" {
		return "the broker refused the token"
	}
	return fmt.Sprintf("the broker refused the token (%s)", e.Status)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// refusalStatus returns the status of a server's error message if it is a plain
// word: what a broker sends is not ours to trust.
func refusalStatus(challenge []byte) string {
	var answer struct {
		Status string `json:"status"`
	}
	if len(challenge) > 64<<10 || json.Unmarshal(challenge, &answer) != nil || !plainWord.MatchString(answer.Status) {
		return ""
	}
	return answer.Status
}
