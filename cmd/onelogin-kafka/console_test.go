package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"onelogin-kafka/internal/registry/seal"
)

// keys is the part of a configuration that has a key for sealed secrets.
func keys(t *testing.T) string {
	t.Helper()
	key, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("secrets: {keys: [{private_key_file: %q}]}", write(t, "key", key))
}

// send sends JSON to the console and returns what it answers.
func send(t *testing.T, method, url, body string, headers ...string) (code int, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil {
		t.Fatalf("%s %s: %v: %.300s", method, url, err, text)
	}
	return res.StatusCode, answer
}

// TestConsoleWithoutKafka: what cannot be written is told before the server's own
// time is up, as nothing done; what was read before is still shown.
func TestConsoleWithoutKafka(t *testing.T) {
	t.Parallel()
	p := newPlace(t, tenants(1, 10, 1))
	service := startCommand(t, "run", "--config", p.config(t, keys(t)))
	at := ""
	eventually(t, "the console", func() bool {
		at = consoleAt(service.errs.String())
		code, _ := get(at + "/readyz")
		return code == http.StatusOK
	})
	const draft = `{"name":"hooli","domain":"hooli","client_id":"id","client_secret":"s","base_url":"http://127.0.0.1:9","paused":true}`
	if code, answer := send(t, "POST", at+"/api/v1/connectors", draft); code != http.StatusCreated {
		t.Fatalf("got status %d, %v", code, answer)
	}
	tenant := p.sim.Tenants()[0].Name
	eventually(t, "a position", func() bool {
		code, _ := send(t, "POST", at+"/api/v1/connectors/"+tenant+"/position/plan", `{"back":"10m"}`)
		return code == http.StatusOK
	})
	p.broker.Close()
	for request, body := range map[string]string{
		"POST /api/v1/connectors":                              strings.ReplaceAll(draft, "hooli", "umbrella"),
		"POST /api/v1/connectors/hooli/pause":                  `{"paused":false}`,
		"DELETE /api/v1/connectors/hooli":                      "",
		"POST /api/v1/connectors/" + tenant + "/position/plan": `{"back":"10m"}`,
	} {
		method, path, _ := strings.Cut(request, " ")
		code, answer := send(t, method, at+path, body, `If-Match: "1"`)
		if code != http.StatusServiceUnavailable || answer["outcome"] != "none" {
			t.Errorf("%s: got status %d, %v", request, code, answer)
		}
	}
	if code, page := get(at + "/connectors/hooli"); code != http.StatusOK || !strings.Contains(page, "hooli.onelogin.com") {
		t.Errorf("got status %d: %.300s", code, page)
	}
}
