package benchmark

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// pages is the simplest client there can be: it shares no code with the
// service and believes every answer.
type pages struct {
	task   task
	token  string
	cursor string
}

func (p *pages) login(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.task.URL+"/auth/oauth2/v2/token", strings.NewReader(`{"grant_type":"client_credentials"}`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(p.task.ClientID, p.task.ClientSecret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking for a token: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("asking for a token: %w", err)
	}
	p.token = gjson.GetBytes(body, "access_token").String()
	if p.token == "" {
		p.token = gjson.GetBytes(body, "data.0.access_token").String()
	}
	if p.token == "" {
		return fmt.Errorf("asking for a token: status %d", res.StatusCode)
	}
	return nil
}

// next reads one page into buf.
func (p *pages) next(ctx context.Context, buf *bytes.Buffer) error {
	v := url.Values{"sort": {"+id"}, "limit": {strconv.Itoa(p.task.Limit)}, "since": {p.task.Since}}
	if p.cursor != "" {
		v.Set("after_cursor", p.cursor)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.task.URL+"/api/1/events?"+v.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking for a page: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("asking for a page: status %d", res.StatusCode)
	}
	if res.ContentLength > 0 {
		buf.Grow(int(res.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(res.Body); err != nil {
		return fmt.Errorf("reading a page: %w", err)
	}
	return nil
}

// follow takes the cursor of a page and tells whether another follows.
func (p *pages) follow(pagination string) bool {
	p.cursor = gjson.Get(pagination, "after_cursor").String()
	return gjson.Get(pagination, "next_link").Type == gjson.String
}

// split calls f with each event of a page, without looking whether it is JSON,
// and returns what the page says of the next.
func split(page []byte, f func(event []byte)) (pagination string) {
	gjson.GetBytes(page, "data").ForEach(func(_, v gjson.Result) bool {
		f(page[v.Index : v.Index+len(v.Raw)])
		return true
	})
	return gjson.GetBytes(page, "pagination").Raw
}

// splitValid is split with encoding/json, which validates the page.
func splitValid(page []byte, f func(event []byte)) (pagination string, err error) {
	var p struct {
		Pagination json.RawMessage   `json:"pagination"`
		Data       []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(page, &p); err != nil {
		return "", fmt.Errorf("splitting a page: %w", err)
	}
	for _, event := range p.Data {
		f(event)
	}
	return string(p.Pagination), nil
}

// readBare fetches pages, splits them and throws them away.
func readBare(ctx context.Context, t task, valid bool) (done, error) {
	p := pages{task: t}
	if err := p.login(ctx); err != nil {
		return done{}, err
	}
	var d done
	count := func(event []byte) {
		d.Events++
		d.Bytes += int64(len(event))
	}
	var buf bytes.Buffer
	for more := true; more; {
		buf.Reset()
		err := p.next(ctx, &buf)
		if err != nil {
			return d, err
		}
		var pagination string
		if valid {
			pagination, err = splitValid(buf.Bytes(), count)
		} else {
			pagination = split(buf.Bytes(), count)
		}
		if err != nil {
			return d, err
		}
		more = p.follow(pagination)
	}
	if d.Events == 0 {
		return d, errors.New("no events")
	}
	return d, nil
}
