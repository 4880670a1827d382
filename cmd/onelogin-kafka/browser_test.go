package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// pictures has the browser's tests keep what they saw:
// go test -run Browser -args -pictures DIR.
var pictures = flag.String("pictures", "", "the `folder` for pictures of the console's pages")

// browser is a Chromium without a window.
type browser struct {
	t   *testing.T
	ctx context.Context
	axe string // axe-core's source
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: scripts/deps.sh installs it", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	axe, err := os.ReadFile(filepath.Join(cache, "onelogin-kafka", "axe-4.14.1.min.js"))
	if err != nil {
		t.Fatalf("%v: scripts/deps.sh fetches it", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(2*time.Minute))
	actx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(actx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, axe: string(axe)}
	watch := page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener("securitypolicyviolation", (e) => { (window.violations ||= []).push(e.violatedDirective + " " + e.blockedURI) })`,
	}
	// The browser lives as long as the context of the first call.
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, watch); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	return b
}

// browserPatience is how long the browser may take for one step.
const browserPatience = 2 * time.Minute

// do runs actions as one step.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// value is that of an expression on the page.
func value[T any](b *browser, expression string, opts ...chromedp.EvaluateOption) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, opts...))
	if err != nil {
		b.t.Fatalf("%.100s: %v", expression, err)
	}
	return v
}

// see waits until a text is on the page.
func (b *browser) see(text string) {
	b.t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the page showing "+text, func() bool { return value[bool](b, "document.body?.innerText.includes("+string(quoted)+") === true") })
}

// arrive waits until the browser is at a path.
func (b *browser) arrive(path string) {
	b.t.Helper()
	eventually(b.t, "the browser at "+path, func() bool { return value[string](b, "document.body ? location.pathname : ''") == path })
}

// look shows a page in one scheme and width, and looks for what is wrong with it.
func (b *browser) look(name, scheme string, width int64) {
	b.t.Helper()
	b.do("resizing", chromedp.EmulateViewport(width, 900))
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		b.t.Fatal(err)
	}
	wide := value[bool](b, "document.documentElement.scrollWidth > document.documentElement.clientWidth")
	violations := value[[]string](b, "window.violations || []")
	where := fmt.Sprintf("%s, %s, %d px", name, scheme, width)
	if wide {
		b.t.Errorf("%s: the page is wider than its window", where)
	}
	if len(violations) > 0 {
		b.t.Errorf("%s: against the policy: %q", where, violations)
	}
	if *pictures != "" {
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*pictures, fmt.Sprintf("%s-%s-%d.png", name, scheme, width)), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	b.do("reading axe", chromedp.Evaluate[chromedp.Void](b.axe+"; null"))
	faults := value[[]string](b, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) =>
		[String(r.passes.length), ...r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.html).join(" | "))])`, chromedp.EvalAwaitPromise)
	if len(faults) == 0 || faults[0] == "0" {
		b.t.Errorf("%s: axe has looked at nothing", where)
		return
	}
	for _, fault := range faults[1:] {
		b.t.Errorf("%s: %.600s", where, fault)
	}
}

// TestConsoleInTheBrowser shows each page of the demo in both schemes, on a
// phone and on a desk, and walks through the form.
func TestConsoleInTheBrowser(t *testing.T) {
	demo := startProcess(t, "demo", "--rate", "2", "--data", t.TempDir())
	at := ""
	eventually(t, "the console's address", func() bool {
		_, after, ok := strings.Cut(demo.out.String(), "console    ")
		at, _, _ = strings.Cut(after, "/\n")
		return ok && at != ""
	})
	b := openBrowser(t)
	b.do("opening", chromedp.Navigate(at+"/"))
	b.see("initech")
	for _, p := range []struct{ name, path, sees string }{
		{"status", "/", "globex"}, {"search", "/?q=nobody", "No connector matches"}, {"connector", "/connectors/acme", "Events per minute"},
		{"new", "/new", "Client Secret"}, {"fleet", "/fleet", "Shards of demo"}, {"audit", "/audit", "Audit"},
		{"jobs", "/jobs", "No job has been asked for"}, {"job", "/jobs/new?connector=acme", "What to do"},
	} {
		b.do("opening "+p.path, chromedp.Navigate(at+p.path))
		b.see(p.sees)
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{360, 1280} {
				b.look(p.name, scheme, width)
			}
		}
	}
	b.addTenant(at, demo)
}

// addTenant walks through the form: a wrong secret is told before anything is
// saved, a right one turns the connector ACTIVE before the eyes, and it can be
// broken and mended.
func (b *browser) addTenant(at string, demo *process) {
	b.t.Helper()
	_, after, _ := strings.Cut(demo.out.String(), "its client secret is in ")
	file, _, _ := strings.Cut(after, "\n")
	text, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	secret, name := strings.TrimSpace(string(text)), strings.TrimSuffix(filepath.Base(file), ".secret")
	b.do("opening the form", chromedp.Navigate(at+"/new"), chromedp.SendKeys("#client_secret", "wrong"), chromedp.Click("#test"))
	b.see("⚠ Authentication Stage: Credentials error")
	b.do("correcting it", chromedp.SetValue("#client_secret", secret), chromedp.Click("#test"))
	b.see("Connection successful")
	for _, scheme := range []string{"light", "dark"} {
		b.look("tested", scheme, 1280)
	}
	b.do("saving", chromedp.Click("button.main"))
	b.arrive("/connectors/" + name)
	b.see("ACTIVE")
	save := func(secret string) {
		b.t.Helper()
		b.do("editing", chromedp.Navigate(at+"/connectors/"+name+"/edit"), chromedp.SetValue("#client_secret", secret), chromedp.Click("button.main"))
		b.arrive("/connectors/" + name)
	}
	save("broken")
	b.see("FAILING")
	b.see("Credentials error")
	b.look("failing", "light", 1280)
	save(secret)
	b.see("ACTIVE")
	b.do("planning to set it back", chromedp.Navigate(at+"/connectors/"+name+"/position"), chromedp.Click("button.main"))
	b.see("Asked for again")
	b.look("position", "light", 1280)
	b.do("setting it back", chromedp.SendKeys("#reason", "ticket 4711"), chromedp.Click("button.grave"))
	b.arrive("/connectors/" + name)
	eventually(b.t, "the move among its changes", func() bool {
		b.do("looking again", chromedp.Reload())
		return value[bool](b, `document.body.innerText.includes("ticket 4711")`)
	})
	b.see("ACTIVE")
	b.do("opening the list", chromedp.Navigate(at+"/"))
	b.see(name)
	b.do("opening the audit", chromedp.Navigate(at+"/audit"))
	b.see("connector.")
	b.look("changes", "dark", 1280)
	for _, shown := range []string{secret, "broken"} {
		if value[bool](b, fmt.Sprintf("document.documentElement.outerHTML.includes(%q)", shown)) {
			b.t.Errorf("the audit shows the secret")
		}
	}
}
