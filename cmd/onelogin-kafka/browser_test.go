package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"onelogin-kafka/internal/proof/wait"
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
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(10*browserPatience))
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

// browserPatience is how much of the machine's time the browser may take for one step.
const browserPatience = 2 * time.Minute

// do runs actions as one step.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := wait.Within(b.ctx, browserPatience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// value is that of an expression on the page.
func value[T any](b *browser, expression string, opts ...chromedp.EvaluateOption) T {
	b.t.Helper()
	ctx, cancel := wait.Within(b.ctx, browserPatience)
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
	eventually(b.t, "the page showing "+text, func() bool { return b.shows(text) })
}

func (b *browser) shows(text string) bool {
	b.t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return value[bool](b, "document.body?.innerText.includes("+string(quoted)+") === true")
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
		png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
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

// looks is look in both schemes, on a phone and on a desk.
func (b *browser) looks(name string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1280} {
			b.look(name, scheme, width)
		}
	}
}
