package onelogin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/source"
)

// checkLimit is the page size of a check: below every limit that OneLogin is
// known to have.
const checkLimit = 10

// Check tries what a poller does, in DNIF's stages: Configuration (the secret
// can be read), Authentication (a token is asked for, whatever token there is),
// Fetch Logs (one small page of the last day; none there is fine) and Validation
// (what came are events). progress, if not nil, is called at the start of each
// stage. The error is an *source.APIError with the stage, or ctx's own.
func (c *Client) Check(ctx context.Context, progress func(stage string)) error {
	if progress == nil {
		progress = func(string) {}
	}
	progress(stageConfiguration)
	if _, err := c.readSecret(); err != nil {
		return err
	}
	progress(stageAuthentication)
	if err := c.renewToken(ctx); err != nil {
		return err
	}
	progress(stageFetchLogs)
	page, err := c.askPage(ctx, source.Query{Since: c.opts.Now().Add(-24 * time.Hour), Limit: checkLimit}, true)
	if err != nil {
		return err
	}
	progress(stageValidation)
	if len(page.Events) == 0 && len(page.Malformed) > 0 {
		return &source.APIError{
			Kind: source.Unreadable, Stage: stageValidation, Message: msgReading, Advice: adviceData,
			Status: http.StatusOK, RateLimit: page.RateLimit,
			Err: errors.New("first element: " + page.Malformed[0].Reason),
		}
	}
	return nil
}

// EventTypes asks for OneLogin's list of event types, id to name. It needs no
// token. OneLogin asks to keep the answer for a day; the list is never complete,
// so an unknown id is no error. Elements without an id and a name are left out.
func (c *Client) EventTypes(ctx context.Context) (map[int64]string, error) {
	a, err := c.do(ctx, request{
		endpoint: endpointTypes,
		stage:    stageFetchLogs,
		method:   http.MethodGet,
		url:      c.base + "/api/1/events/types",
		maxBody:  min(maxTypesBody, c.opts.Limits.Body),
	})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, c.refusal(stageFetchLogs, a, faultOf(a))
	}
	types, flt, err := decodeTypes(a.body)
	switch {
	case flt.failed:
		return nil, c.refusal(stageFetchLogs, a, flt)
	case err != nil:
		return nil, c.unreadable(stageFetchLogs, a, err)
	}
	return types, nil
}

func decodeTypes(body []byte) (map[int64]string, fault, error) {
	env, err := readEnvelope(body, func(at int) (int, bool) { return skipValue(body, at, 1) })
	if err != nil {
		return nil, fault{}, err
	}
	if flt := env.fault(); flt.failed {
		return nil, flt, nil
	}
	if len(env.data) == 0 || env.data[0] != '[' {
		return nil, fault{}, errNoData
	}
	var list []json.RawMessage
	if err := json.Unmarshal(env.data, &list); err != nil {
		return nil, fault{}, errNoData
	}
	types := make(map[int64]string, len(list))
	for _, raw := range list {
		var t struct {
			ID   json.RawMessage `json:"id"`
			Name json.RawMessage `json:"name"`
		}
		if json.Unmarshal(raw, &t) != nil {
			continue
		}
		id, err := strconv.ParseInt(string(t.ID), 10, 64)
		name := strings.TrimSpace(looseString(t.Name))
		if err == nil && id > 0 && name != "" {
			types[id] = name
		}
	}
	return types, fault{}, nil
}
