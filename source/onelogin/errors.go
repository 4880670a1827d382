package onelogin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"onelogin-kafka/source"
)

// DNIF's messages of its connector validation.
const (
	msgConfiguration = "Configuration Error"
	msgCredentials   = "Credentials error"
	msgConnect       = "Unable to connect"
	msgFailed        = "Request Failed"
	msgListing       = "Log listing error"
	msgReading       = "Log reading error"
	msgTimeout       = "Request Timeout"
	msgEdge          = "too many calls for OneLogin's edge" // none of DNIF's: it does not pace
)

// What to do, one sentence each.
const (
	adviceConfiguration    = "Check the connector's configuration."
	adviceCredentials      = "Check client id and secret, and that the API credential is enabled in OneLogin (Developers > API Credentials)."
	adviceRevoked          = "A fresh token was refused too: check that the API credential is still enabled and belongs to this domain."
	adviceForbidden        = "Give the API credential the scope Read All, and allow this address if OneLogin restricts addresses."
	adviceConnect          = "Check the domain, the network, name resolution, any firewall, and that this host trusts the certificate."
	adviceProxy            = "Check proxy.url, that the proxy is up, and that it may reach the account's domain."
	adviceProxyRefuses     = "Have the proxy allow CONNECT to the account's domain, port 443, or name the domain in proxy.no_proxy."
	adviceProxyCredentials = "The proxy wants to know who asks: check proxy.username and proxy.password_file."
	adviceTimeout          = "Check the network; if it is well, OneLogin is slow and it will be tried again."
	adviceThrottled        = "The account's hourly budget of API calls is used up; it is shared with all other tools of the account, so lower rate_limit.share or theirs."
	adviceEdge             = "Give instances addresses of their own, or poll more seldom (poll.min): OneLogin counts the calls of an address."
	adviceLimit            = "Set page_size to 50 or auto."
	adviceNotFound         = "Check the domain: OneLogin knows no such address."
	adviceRedirect         = "The host sends elsewhere and redirects are not followed: check domain and base_url."
	adviceTokenServer      = "OneLogin answers so when the user who made the API credential was deleted: if it stays, make a new credential."
	adviceServer           = "OneLogin has a fault; it will be tried again."
	adviceRefused          = "OneLogin refuses the request; if it stays, ask OneLogin's support with the request id."
	adviceUnreadable       = "What came is not what OneLogin promises; it will be tried again, and if it stays, ask OneLogin's support with the request id."
	adviceMarkup           = "A web page came in the place of data, from OneLogin in trouble or from something in between; it will be tried again."
	adviceUnparted         = "An event of the page is broken in a way that spoils its neighbours; if it stays, ask OneLogin's support with the request id."
	adviceTooLarge         = "Set page_size to auto, or to fewer events."
	adviceData             = "None of the newest events can be read: ask for an update of this connector."
)

func configurationError(err error) *source.APIError {
	return &source.APIError{
		Kind: source.Configuration, Stage: stageConfiguration,
		Message: msgConfiguration, Advice: adviceConfiguration, Err: err,
	}
}

func setUnreadable(e *source.APIError, message string, err error) {
	if e.Stage == stageAuthentication {
		message = msgFailed // DNIF knows no reading of logs at that stage
	}
	e.Kind, e.Message, e.Advice, e.Err = source.Unreadable, message, adviceUnreadable, err
	switch _, large := errors.AsType[*BodyTooLargeError](err); {
	case errors.Is(err, ErrUnparted):
		e.Advice, e.Narrow = adviceUnparted, true
	case large:
		e.Advice, e.Narrow = adviceTooLarge, true
	}
}

// throttledByEdge makes the error for a call whose turn is too far away.
func throttledByEdge(stage string, err busyError) *source.APIError {
	return &source.APIError{
		Kind: source.Throttled, Stage: stage, Message: msgEdge, Advice: adviceEdge, Err: err,
		RetryAfter: err.wait + rand.N(time.Second),
	}
}

// unreadable makes the error for a success whose body is not what was promised.
// It says of what came as much as tells who sent it, and nothing of its text.
func (c *Client) unreadable(stage string, a *answer, err error) *source.APIError {
	e := &source.APIError{Stage: stage}
	message := msgReading
	if _, ok := errors.AsType[listingError](err); ok {
		message = msgListing
	}
	body := a.body[skipSpace(a.body, 0):]
	setUnreadable(e, message, fmt.Errorf("%w (%s, %s)", err, contentType(a.header), beginning(body)))
	if len(body) > 0 && body[0] == '<' {
		e.Advice = adviceMarkup
	}
	return c.annotate(e, a)
}

// contentType is what an answer calls itself, if that is a name that many do.
func contentType(h http.Header) string {
	v := h.Get("Content-Type")
	if v == "" {
		return "no content type"
	}
	t, _, _ := strings.Cut(v, ";")
	switch t = strings.ToLower(strings.TrimSpace(t)); t {
	case "application/json", "text/json", "text/html", "text/plain", "text/xml", "text/javascript",
		"application/xml", "application/xhtml+xml", "application/javascript", "application/octet-stream":
		return "content type " + t
	}
	return "an unusual content type"
}

// beginning says of what kind the first character of a body is.
func beginning(body []byte) string {
	if len(body) == 0 {
		return "empty"
	}
	switch c := body[0]; {
	case c == '<' || c == '{' || c == '[' || c == '"':
		return fmt.Sprintf("begins with '%c'", c)
	case c >= '0' && c <= '9' || c == '-':
		return "begins with a number"
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return "begins with a letter"
	case c < ' ' || c >= 0x7f:
		return "begins with a byte outside of ASCII's text"
	}
	return "begins with a punctuation mark"
}

func setUnreachable(e *source.APIError, err error) {
	e.Kind, e.Message, e.Advice, e.Err = source.Unreachable, msgConnect, adviceConnect, err
}

func setTimeout(e *source.APIError, err error) {
	e.Kind, e.Message, e.Advice, e.Err = source.Timeout, msgTimeout, adviceTimeout, err
}

// fault is what the body of an answer says about an error. Its texts come from
// outside: they decide the kind and go nowhere else.
type fault struct {
	failed    bool
	code      int    // 0: not said
	message   string // status.message or message, or the description in it
	attribute string // status.message.attribute
	oauth     string // RFC 6749's error
}

// faultOf reads the body of an answer that is not a success, whatever it calls
// itself. A body that is not JSON (the edge answers in HTML) says nothing.
func faultOf(a *answer) fault {
	env, err := readEnvelope(a.body, func(at int) (int, bool) { return skipValue(a.body, at, 1) })
	if err != nil {
		return fault{}
	}
	return env.fault()
}

// fault reads the families of errors: {"status":{"error":true,…}} with a text or
// an object as its message; {"message":…,"statusCode":…,"name":…} of the
// gateway and of /api/2; and RFC 6749's {"error":…}. Anything in status.error
// but a form of no is an error: what we cannot read is not a success.
func (env envelope) fault() fault {
	var f fault
	message := json.RawMessage(env.message)
	if len(env.status) > 0 && env.status[0] == '{' {
		said, ok := members(env.status, "error", "code", "message")
		if !ok {
			return fault{failed: true}
		}
		f.code = httpCode(said[1])
		f.failed = f.code >= 400 || !isNo(said[0])
		if said[2] != nil {
			message = said[2]
		}
	}
	for _, v := range [][]byte{env.statusCode, env.status} {
		if n := httpCode(v); n >= 400 {
			f.failed, f.code = true, n
		}
	}
	if !isNo(env.oerr) {
		f.failed, f.oauth = true, looseString(json.RawMessage(env.oerr))
	}
	f.message = looseString(message)
	if len(message) > 0 && message[0] == '{' {
		if said, ok := members(message, "description", "attribute"); ok {
			f.message, f.attribute = looseString(said[0]), looseString(said[1])
		}
	}
	return f
}

// isNo tells whether v says that there is no error: it is missing, null, false,
// 0, an empty text, or the text of one of these.
func isNo(v json.RawMessage) bool {
	text := string(v)
	if strings.HasPrefix(text, `"`) {
		text = strings.ToLower(looseString(v))
	}
	switch text {
	case "", "null", "false", "0":
		return true
	}
	return false
}

func httpCode(v json.RawMessage) int {
	if n := looseInt(v); n >= 100 && n < 600 {
		return int(n)
	}
	return 0
}

// words are the lower-case words of a fault's message.
func (f fault) words() map[string]bool {
	w := make(map[string]bool)
	for s := range strings.FieldsFuncSeq(strings.ToLower(f.message), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		w[s] = true
	}
	return w
}

// refusal makes the error for an answer that is not a success, or that is one
// with a fault in its body.
func (c *Client) refusal(stage string, a *answer, f fault) *source.APIError {
	code := a.status
	if code == http.StatusOK && f.code != 0 {
		code = f.code
	}
	e := &source.APIError{Stage: stage, Message: failedMessage(code)}
	e.Kind, e.Advice = classify(stage, code, f)
	if e.Kind == source.Credentials {
		e.Message = msgCredentials
		if stage == stageFetchLogs {
			e.Advice = adviceRevoked
		}
	}
	return c.annotate(e, a)
}

// classify decides the kind of an error from the status and, where a status has
// several meanings, from the fields of the body. OneLogin has no error codes
// below the status, so its words must do where it gives no attribute; they are
// compared as whole words.
func classify(stage string, code int, f fault) (source.Kind, string) {
	words := f.words()
	auth := stage == stageAuthentication
	bad := code == http.StatusBadRequest || code == http.StatusUnprocessableEntity
	switch {
	case code == http.StatusTooManyRequests,
		// HTTP 400 with "rate_limit_exceeded" is on record.
		code != http.StatusUnauthorized && words["rate"] && words["limit"]:
		return source.Throttled, adviceThrottled
	case code == http.StatusUnauthorized,
		// The token endpoint's answer to a header that it cannot use, and RFC
		// 6749's to a client it does not know; both may come with 400.
		auth && code < 500 && words["authorization"] && words["information"] && words["incorrect"],
		auth && code < 500 && (f.oauth == "invalid_client" || f.oauth == "unauthorized_client"):
		return source.Credentials, adviceCredentials
	case code == http.StatusForbidden:
		return source.Forbidden, adviceForbidden
	// A 400 that only seems to blame the page size costs smaller pages; one
	// that is not seen to do so would stop the connector. So the word is enough
	// where there is no attribute.
	case !auth && bad && (f.attribute == "limit" || f.attribute == "" && words["limit"]):
		return source.BadLimit, adviceLimit
	case code == http.StatusNotFound:
		return source.Refused, adviceNotFound
	case code >= 300 && code < 400:
		return source.Refused, adviceRedirect
	case code >= 500 && auth:
		return source.Refused, adviceTokenServer
	case code >= 500:
		return source.Refused, adviceServer
	}
	return source.Refused, adviceRefused
}

// failedMessage takes the reason from the standard and not from the answer.
func failedMessage(code int) string {
	reason := http.StatusText(code)
	switch {
	case code == http.StatusOK:
		reason = "error in the body"
	case reason == "":
		reason = "unknown"
	}
	return fmt.Sprintf("%s - response code %d, reason %s", msgFailed, code, reason)
}

// annotate adds what the answer's header says.
func (c *Client) annotate(e *source.APIError, a *answer) *source.APIError {
	e.Status = a.status
	e.RequestID = requestID(a.header)
	e.RateLimit = a.rateLimit
	e.RetryAfter = retryWait(e.Kind, a)
	return e
}

// retryWait is Retry-After where it was sent. Else the end of the budget's
// window, if the answer was a refusal for lack of budget. A refusal with calls
// left is for another reason, such as too many at once: to wait for the end of a
// window that has most of an hour to go would be for nothing.
func retryWait(kind source.Kind, a *answer) time.Duration {
	if d := readRetryAfter(a.header, a.at); d > 0 {
		return d
	}
	known := a.rateLimit.Limit > 0
	spent := known && a.rateLimit.Remaining <= a.rateLimit.Limit/spentPart
	reset := readReset(a.header)
	if kind == source.Throttled && (spent || !known || reset <= shortWindow) || known && a.rateLimit.Remaining == 0 {
		return reset
	}
	return 0
}

// spentPart: with less than this part of the calls left, a refusal is for lack
// of budget, though calls may have been given back meanwhile.
const spentPart = 100

// shortWindow is how long a window may still last for its end to be waited for
// though it has calls left.
const shortWindow = time.Minute
