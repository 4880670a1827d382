package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"onelogin-kafka/schemas"
)

// document is the API's document, to hold answers against.
type document struct {
	t        *testing.T
	tree     map[string]any
	compiler *jsonschema.Compiler
	driven   map[string]bool // operations that were answered with success
}

func newDocument(t *testing.T) *document {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPIDocument))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{t: t, tree: parsed.(map[string]any), compiler: jsonschema.NewCompiler(), driven: map[string]bool{}}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi.json", parsed); err != nil {
		t.Fatal(err)
	}
	return d
}

// operations are those of the document, as "METHOD /path".
func (d *document) operations() []string {
	var all []string
	for path, item := range d.tree["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

// hold holds an answer against what the document says of an operation.
func (d *document) hold(operation string, w *httptest.ResponseRecorder) {
	d.t.Helper()
	method, path, _ := strings.Cut(operation, " ")
	op, _ := d.tree["paths"].(map[string]any)[path].(map[string]any)[strings.ToLower(method)].(map[string]any)
	response, ok := op["responses"].(map[string]any)[strconv.Itoa(w.Code)].(map[string]any)
	if !ok {
		d.t.Errorf("%s: the document does not know status %d: %s", operation, w.Code, w.Body)
		return
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	content, _ := response["content"].(map[string]any)
	if w.Code == http.StatusNoContent && w.Body.Len() == 0 && content == nil {
		d.driven[operation] = true
		return
	}
	if content[kind] == nil {
		d.t.Errorf("%s, status %d: the document does not know %q", operation, w.Code, kind)
		return
	}
	if w.Code < 300 {
		d.driven[operation] = true
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	where := "openapi.json#/paths/" + escape.Replace(path) + "/" + strings.ToLower(method) + "/responses/" + strconv.Itoa(w.Code) + "/content/" + escape.Replace(kind) + "/schema"
	schema, err := d.compiler.Compile(strings.NewReplacer("{", "%7B", "}", "%7D").Replace(where))
	if err != nil {
		d.t.Fatalf("%s: %v", operation, err)
	}
	body, err := jsonschema.UnmarshalJSON(w.Body)
	if err != nil {
		d.t.Errorf("%s, status %d: %v", operation, w.Code, err)
		return
	}
	if err := schema.Validate(body); err != nil {
		d.t.Errorf("%s, status %d: %v", operation, w.Code, err)
	}
}

// TestDocument: the document describes what is answered, all of it and nothing
// else.
func TestDocument(t *testing.T) {
	t.Parallel()
	d := newDocument(t)
	var routed []string
	for _, p := range Patterns() {
		if strings.Contains(p, " /api/") {
			routed = append(routed, p)
		}
	}
	slices.Sort(routed)
	if got := d.operations(); !slices.Equal(got, routed) {
		t.Errorf("the document has %q, the handlers are for %q", got, routed)
	}
	o := open()
	o.Control = newShelf()
	say(o.Board, schemas.ConnectorStatus{Connector: "globex", State: schemas.StateFailing, Stage: "Authentication", Message: "Credentials error", Advice: "Check client id and secret.", Instance: "two", LagSeconds: -1})
	say(o.Board, schemas.ConnectorStatus{Connector: "globex", State: schemas.StateActive, Instance: "one", Lateness: &schemas.Lateness{Since: time.Now(), Bounds: []float64{2}, Counts: []int64{0, 1}}})
	h := Handler(o)
	guarded := Handler(withTokens())
	const draft = `{"name":"hooli","domain":"hooli","client_id":"id","client_secret":"s","settings":{"start_from":"1h"}}`
	for _, c := range []struct{ operation, path, body string }{
		{"GET /api/v1/connectors/{name}/definition", "hooli", ""},
		{"POST /api/v1/connectors", "", draft},
		{"POST /api/v1/connectors", "", draft},
		{"POST /api/v1/connectors", "", `{"name":"No Name","domain":"x y"}`},
		{"POST /api/v1/connectors", "", "["},
		{"GET /api/v1/connectors/{name}/definition", "hooli", ""},
		{"PUT /api/v1/connectors/{name}", "hooli", `{"domain":"hooli","client_id":"id"}`},
		{"PUT /api/v1/connectors/{name}", "hooli", `{"domain":"hooli2","client_id":"id"}`},
		{"PUT /api/v1/connectors/{name}", "other", `{"name":"hooli","domain":"hooli","client_id":"id"}`},
		{"PUT /api/v1/connectors/{name}", "other", `{"domain":"hooli","client_id":"id"}`},
		{"POST /api/v1/connectors/{name}/pause", "hooli", `{"paused":true}`},
		{"POST /api/v1/connectors/{name}/pause", "hooli", `{}`},
		{"POST /api/v1/connectors/{name}/pause", "other", `{"paused":true}`},
		{"DELETE /api/v1/connectors/{name}", "other", ""},
		{"DELETE /api/v1/connectors/{name}", "hooli", ""},
		{"GET /api/v1/openapi.json", "", ""},
		{"GET /api/v1/connectors", "", ""},
		{"GET /api/v1/connectors", "?q=acme&state=ACTIVE&sort=-lag&page=7&per_page=3", ""},
		{"GET /api/v1/connectors", "?sort=colour&page=0&per_page=x&state=GONE", ""},
		{"GET /api/v1/connectors/{name}", "acme", ""},
		{"GET /api/v1/connectors/{name}", "unheard-of", ""},
		{"GET /api/v1/connectors/{name}", "nobody", ""},
		{"POST /api/v1/connectors/{name}/check", "acme", ""},
		{"POST /api/v1/connectors/{name}/check", "nobody", ""},
		{"POST /api/v1/check", "", `{"name":"new","domain":"new","client_id":"id","client_secret":"s"}`},
		{"POST /api/v1/check", "", `{"nam`},
		{"POST /api/v1/check", "", `{} {}`},
		{"POST /api/v1/check", "", `{"unknown":1}`},
		{"POST /api/v1/check", "", strings.Repeat(" ", maxBody+1)},
		{"GET /api/v1/fleet", "", ""},
		{"GET /api/v1/shards", "", ""},
		{"GET /api/v1/audit", "", ""},
		{"GET /api/v1/audit", "?q=x&connector=acme&sort=by&page=7&per_page=3", ""},
		{"GET /api/v1/audit", "?sort=colour&page=0&per_page=1001", ""},
		{"GET /api/v1/fleet", "?q=x&sort=-age&page=7&per_page=3", ""},
		{"GET /api/v1/fleet", "?sort=&page=x", ""},
		{"GET /api/v1/stream", "?audit=sort%3Dcolour&fleet=%25", ""},
		{"GET /api/v1/stream", "?" + strings.Repeat("connector=a&", maxPerPage+1), ""},
	} {
		method, pattern, _ := strings.Cut(c.operation, " ")
		path := pattern + c.path
		if strings.Contains(pattern, "{name}") {
			path = strings.ReplaceAll(pattern, "{name}", c.path)
		}
		d.hold(c.operation, ask(h, method, path, c.body, "Content-Type: application/json", "If-Match: "+o.Control.(*shelf).etag("hooli")))
		d.hold(c.operation, ask(h, method, path, c.body))
		d.hold(c.operation, ask(h, method, path, c.body, "Content-Type: application/json", `If-Match: "77"`))
		d.hold(c.operation, ask(h, method, path, c.body, "Content-Type: application/json", "If-Match: *"))
		d.hold(c.operation, ask(guarded, method, path, c.body, "Content-Type: application/json"))
		d.hold(c.operation, ask(h, method, path, c.body, "Host: evil.example"))
		if method != http.MethodGet {
			d.hold(c.operation, ask(guarded, method, path, c.body, "Authorization: Bearer "+viewerToken))
			d.hold(c.operation, ask(h, method, path, c.body, "Sec-Fetch-Site: cross-site"))
		}
	}
	for _, operation := range d.operations() {
		if !d.driven[operation] && operation != "GET /api/v1/stream" && !strings.Contains(operation, "/position") && !strings.Contains(operation, "/job") { // TestStream, TestMovesOfAPI, TestJobs
			t.Errorf("%s was never answered with success", operation)
		}
	}
}

// TestProblems: what the mux refuses is a problem, too.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/api/v1/nothing", 404}, {"DELETE", "/api/v1/connectors", 405}, {"GET", "/api/v1/check", 405}, {"GET", "/api/v1/../../etc/passwd", 404}, {"GET", "/static/../console.go", 404}} {
		w := ask(Handler(open()), c.method, c.path, "")
		var p Problem
		if w.Code/100 == 3 { // a path made clean
			w = ask(Handler(open()), c.method, w.Header().Get("Location"), "")
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Status != c.status || p.Detail == "" {
			t.Errorf("%s %s: got status %d, %s", c.method, c.path, w.Code, w.Body)
		}
	}
}
