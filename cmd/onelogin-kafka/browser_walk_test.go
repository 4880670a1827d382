package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/schemas"
)

// visit starts a demo and opens its first page.
func visit(t *testing.T) (b *browser, demo *process, at string) {
	t.Helper()
	demo = startProcess(t, "demo", "--rate", "2", "--data", t.TempDir())
	eventually(t, "the console's address", func() bool { return said(demo, "topic ", "\n") != "" })
	b, at = openBrowser(t), said(demo, "console    ", "/\n")
	b.open(at + "/")
	return b, demo, at
}

// open opens the list and waits for the demo's tenants.
func (b *browser) open(url string) {
	b.t.Helper()
	eventually(b.t, "the demo's tenants", func() bool {
		b.do("opening", chromedp.Navigate(url))
		return b.shows("initech")
	})
}

// said is what a process has printed between two texts.
func said(p *process, before, after string) string {
	_, rest, _ := strings.Cut(p.out.String(), before)
	text, _, ok := strings.Cut(rest, after)
	if !ok {
		return ""
	}
	return text
}

// TestConsoleInTheBrowser shows each page of the demo in both schemes, on a
// phone and on a desk, and walks through the form.
func TestConsoleInTheBrowser(t *testing.T) {
	b, demo, at := visit(t)
	hooli(t, demo)
	b.askJob(at)
	for _, p := range []struct{ name, path, sees string }{
		{"status", "/", "globex"}, {"search", "/?q=nobody", "No connector matches"}, {"connector", "/connectors/acme", "ticket 4712"},
		{"late", "/connectors/hooli", "Late events"}, {"new", "/new", "Client Secret"}, {"fleet", "/fleet", "63 from two to three"}, {"audit", "/audit", "Audit"},
		{"jobs", "/jobs", "ticket 4712"}, {"job", "/jobs/new?connector=acme", "What to do"},
	} {
		b.do("opening "+p.path, chromedp.Navigate(at+p.path))
		b.see(p.sees)
		b.looks(p.name)
	}
	b.do("going back", chromedp.Navigate(at+"/"))
	b.walk(demo, hands{
		fill:  func(field, text string) { b.do("filling in "+field, chromedp.SetValue(field, text)) },
		press: func(button string) { b.do("pressing "+button, chromedp.Click(button)) },
		look: func(name string) {
			for _, scheme := range []string{"light", "dark"} {
				b.look(name, scheme, 1280)
			}
		},
	})
}

// TestConsoleByKeyboard goes the whole way with Tab, Enter and what is typed.
func TestConsoleByKeyboard(t *testing.T) {
	b, demo, _ := visit(t)
	reach := func(selector string) {
		t.Helper()
		quoted, err := json.Marshal(selector)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			b.do("going on", chromedp.KeyEvent(kb.Tab))
			if value[bool](b, "document.activeElement.matches("+string(quoted)+")") {
				if !value[bool](b, `getComputedStyle(document.activeElement).outlineStyle === "solid"`) {
					t.Errorf("%s does not show that it has the focus", selector)
				}
				return
			}
		}
		t.Fatalf("%s cannot be reached by keyboard", selector)
	}
	b.walk(demo, hands{
		// What Tab reaches is selected, and typed over.
		fill:  func(field, text string) { reach(field); b.do("typing", chromedp.KeyEvent(text)) },
		press: func(button string) { reach(button); b.do("pressing Enter", chromedp.KeyEvent(kb.Enter)) },
		look:  func(string) {},
	})
}

// TestConsoleWithoutScript goes the whole way where no script runs.
func TestConsoleWithoutScript(t *testing.T) {
	b, demo, at := visit(t)
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.open(at + "/")
	if !value[bool](b, `document.querySelector("noscript meta[http-equiv=refresh]") !== null`) {
		t.Error("the page would not be loaded again by itself")
	}
	b.walk(demo, hands{
		fill:  func(field, text string) { b.do("filling in "+field, chromedp.SetValue(field, text)) },
		press: func(button string) { b.do("pressing "+button, chromedp.Click(button)) },
		look:  func(string) {}, // axe is a script
		anew:  true,
	})
}

// hooli has the demo's console know of a connector with late events, whose shard
// moved from one instance to another.
func hooli(t *testing.T, demo *process) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(said(demo, "Kafka      ", ",")), kgo.DefaultProduceTopic("onelogin.status"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, instance := range []string{"two", "three"} {
		at := time.Now().Add(time.Duration(i-1) * time.Minute)
		st := schemas.ConnectorStatus{
			Connector: "hooli", Domain: "hooli.onelogin.com", State: schemas.StateActive, Since: at, UpdatedAt: at, Instance: instance, Shard: 63, VerifiedThrough: at.Add(-time.Hour),
			Lateness: &schemas.Lateness{Since: at.Add(-time.Hour), Bounds: []float64{2, 300, 7200}, Counts: []int64{40, 4, 1, 1}},
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Key: []byte("hooli"), Value: st.Marshal(), Timestamp: at}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// askJob asks for a job as a user does: what it means first.
func (b *browser) askJob(at string) {
	b.t.Helper()
	b.do("planning a job", chromedp.Navigate(at+"/jobs/new?connector=acme"), chromedp.Click("button.main"))
	b.see("Nothing is published.")
	b.look("planned", "light", 360)
	b.look("planned", "dark", 1280)
	b.do("asking for it", chromedp.SendKeys("#reason", "ticket 4712"), chromedp.Click("button.main"))
	b.arrive("/jobs")
	b.see("ticket 4712")
}

// hands are how somebody uses a page.
type hands struct {
	fill  func(field, text string)
	press func(button string)
	look  func(name string)
	anew  bool // what is new is seen when the page is loaded again
}

// walk goes the whole way from the list, by what is on the pages: a wrong secret
// is told before anything is saved, a right one turns the connector ACTIVE before
// the eyes, it is broken and mended, and its position is set back.
func (b *browser) walk(demo *process, h hands) {
	b.t.Helper()
	file := said(demo, "its client secret is in ", "\n")
	text, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	secret, name := strings.TrimSpace(string(text)), strings.TrimSuffix(filepath.Base(file), ".secret")
	page := "/connectors/" + name
	state := func(want string) {
		b.t.Helper()
		eventually(b.t, name+" being "+want, func() bool {
			if h.anew {
				b.do("loading it again", chromedp.Reload())
			}
			return value[string](b, `document.querySelector("#connector .state")?.textContent || ""`) == want
		})
	}
	h.press(`a[href="/new"]`)
	b.arrive("/new")
	h.fill("#client_secret", "wrong")
	h.press("#test")
	b.see("⚠ Authentication Stage: Credentials error")
	h.fill("#client_secret", secret)
	h.press("#test")
	b.see("Connection successful")
	h.look("tested")
	h.press("button.main")
	b.arrive(page)
	state("ACTIVE")
	for _, s := range []struct{ secret, becomes string }{{"broken", "FAILING"}, {secret, "ACTIVE"}} {
		h.press(`a[href$="/edit"]`)
		b.arrive(page + "/edit")
		h.fill("#client_secret", s.secret)
		h.press("button.main")
		b.arrive(page)
		state(s.becomes)
		if s.becomes == "FAILING" && !h.anew {
			for _, list := range []string{"errors", "history"} {
				eventually(b.t, "the error among its "+list, func() bool {
					return strings.Contains(value[string](b, `document.querySelector("tbody[data-rows=`+list+`]").innerText`), "Credentials error")
				})
			}
		}
		h.look(strings.ToLower(s.becomes))
	}
	h.press(`a[href$="/position"]`)
	b.arrive(page + "/position")
	h.press("button.main")
	b.see("Asked for again")
	h.look("position")
	h.fill("#reason", "ticket 4711")
	h.press("button.grave")
	b.arrive(page)
	eventually(b.t, "the move among its changes", func() bool {
		b.do("looking again", chromedp.Reload())
		return b.shows("ticket 4711")
	})
	state("ACTIVE")
	h.press(`a[href="/audit"]`)
	b.arrive("/audit")
	b.see("ticket 4711")
	h.look("changes")
	source := value[string](b, "document.documentElement.outerHTML")
	for _, shown := range []string{secret, "broken"} {
		if strings.Contains(source, shown) {
			b.t.Errorf("the audit shows the secret")
		}
	}
	h.press("a.name")
	b.arrive("/")
	b.see(name)
}
