package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestSignInInTheBrowser: who comes without a session is shown the way in and goes on
// where he wanted to; a viewer is told what he may not do; and an open page whose
// token is another one now does not go on, but shows the way in.
func TestSignInInTheBrowser(t *testing.T) {
	p := newPlace(t, tenants(2, 100, 1))
	const token = "t0ken-of-the-viewers"
	viewers := write(t, "viewers", token)
	const listen = `listen: "127.0.0.1:0"`
	file := write(t, "onelogin-kafka.yaml", strings.Replace(fileText(t, p.config(t, "")), listen,
		fmt.Sprintf("%s, token_file: %q, viewer_token_file: %q", listen, write(t, "admins", "t0ken-of-the-admins"), viewers), 1))
	service := startProcess(t, "run", "--config", file)
	at := ""
	eventually(t, "the console", func() bool {
		at = consoleAt(service.errs.String())
		code, _ := get(at + "/readyz")
		return code == http.StatusOK
	})
	page := "/connectors/" + p.sim.Tenants()[0].Name
	b := openBrowser(t)
	b.do("opening a page", chromedp.Navigate(at+page))
	b.arrive("/login")
	b.looks("login")
	b.do("signing in with a wrong token", chromedp.SetValue("#token", "wrong"), chromedp.Click("button.main"))
	b.see("This is not the token")
	b.do("signing in", chromedp.SetValue("#token", token), chromedp.Click("button.main"))
	b.arrive(page)
	eventually(t, "what a viewer may see", func() bool { return b.field("state") == "ACTIVE" })
	if b.shows("Test Connection") {
		t.Error("a viewer is offered what would be refused")
	}
	b.do("asking for what he may not", chromedp.Navigate(at+"/new"))
	b.see("may look and change nothing")
	b.looks("refused")
	b.do("going back", chromedp.Navigate(at+page))
	b.arrive(page)
	if err := os.WriteFile(viewers, []byte("an0ther-of-the-viewers"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.arrive("/login")
	if next := value[string](b, `document.querySelector("[name=next]").value`); next != page {
		t.Errorf("after signing in again, it would go on at %s", next)
	}
	if code := service.end(); code != exitOK {
		t.Errorf("the service ended with %d: %.2000s", code, service.errs.String())
	}
}
