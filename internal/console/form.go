package console

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/schemas"
)

// field is a field of the form.
type field struct {
	Name, Label, Kind, Value, Placeholder, Help, Wrong string
	Needed, Fixed                                      bool
}

// theirs is what somebody else has saved meanwhile.
type theirs struct {
	By     string
	At     time.Time
	Fields []field
}

type formPage struct {
	frame
	Draft        Draft
	Generation   int64 // that was seen; 0 = a new connector
	Held         string
	Action, Back string
	Fields       []field
	More         bool
	Check        *Check
	Wrong        string
	Theirs       *theirs
	CanSave      bool
	NoSave       string
}

// settings are the fields of the form that are settings of a connector, by the
// path of what they set.
var settings = []field{
	{Name: "start_from", Label: "Start from", Kind: "text", Placeholder: "24h", Help: "Where a connector without a position begins: now, a duration, or a time such as 2026-11-22T07:05:00Z."},
	{Name: "poll.min", Label: "Poll at most every", Kind: "text", Placeholder: "2s", Help: "While events come."},
	{Name: "poll.max", Label: "Poll at least every", Kind: "text", Placeholder: "30s", Help: "When nothing is new."},
	{Name: "rate_limit.share", Label: "Share of the rate limit", Kind: "text", Placeholder: "0.5", Help: "How much of the account's calls an hour may be used: above 0, up to 1."},
}

// fieldsOf are the form's fields, in DNIF's order.
func fieldsOf(d Draft, edit bool) []field {
	secret := field{Name: "client_secret", Label: "Client Secret", Kind: "password", Needed: !edit, Help: "It is sealed before it is stored, and shown to nobody."}
	if edit {
		secret.Help = "Leave blank to use current value. With another domain, base URL or client id it is needed again."
	}
	list := []field{
		{Name: "name", Label: "Connector Name", Kind: "text", Value: d.Name, Placeholder: "acme", Needed: true, Fixed: edit, Help: "The tenant's key in Kafka: a-z, 0-9, dot, dash and underscore. It cannot be changed later."},
		{Name: "type", Label: "Connector Type", Kind: "type", Value: d.Type},
		{Name: "domain", Label: "OneLogin Domain", Kind: "text", Value: d.Domain, Placeholder: "acme.onelogin.com", Needed: true},
		{Name: "client_id", Label: "Client ID", Kind: "text", Value: d.ClientID, Needed: true, Help: "Of an API credential with the permission Read All."},
		secret,
	}
	for _, f := range settings {
		f.Value = settingOf(d.Settings, f.Name)
		list = append(list, f)
	}
	return append(list, field{Name: "base_url", Label: "Base URL", Kind: "text", Value: d.BaseURL, Placeholder: "https://acme.onelogin.com", Help: "For tests and proxies only; empty for OneLogin itself."})
}

// settingOf is a setting as text; empty where it is not given.
func settingOf(all map[string]json.RawMessage, path string) string {
	name, rest, deep := strings.Cut(path, ".")
	raw := all[name]
	if deep {
		var inner map[string]json.RawMessage
		if json.Unmarshal(raw, &inner) != nil {
			return ""
		}
		return settingOf(inner, rest)
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// set sets a setting; an empty text takes it away. What the form does not show
// stays.
func set(all map[string]json.RawMessage, path, text string) {
	name, rest, deep := strings.Cut(path, ".")
	var value json.RawMessage
	if deep {
		inner := map[string]json.RawMessage{}
		_ = json.Unmarshal(all[name], &inner) // nothing there is an empty one
		if inner == nil {
			inner = map[string]json.RawMessage{}
		}
		set(inner, rest, text)
		if len(inner) > 0 {
			value, _ = json.Marshal(inner) // never fails: it was JSON
		}
	} else if _, err := strconv.ParseFloat(text, 64); err == nil {
		value = json.RawMessage(text)
	} else if text != "" {
		value, _ = json.Marshal(text) // never fails
	}
	if delete(all, name); value != nil {
		all[name] = value
	}
}

// typed reads what was typed into the form, over the settings that are saved.
func (o *Options) typed(r *http.Request, saved *schemas.Connector) (d Draft, generation int64, held string) {
	v := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	d = Draft{Name: v("name"), Type: cmp.Or(v("type"), config.TypeOneLogin), Domain: v("domain"), ClientID: v("client_id"), BaseURL: v("base_url"), ClientSecret: v("client_secret"), Settings: map[string]json.RawMessage{}}
	if saved != nil {
		d.Name, d.Paused = saved.Name, saved.Paused
		maps.Copy(d.Settings, saved.Settings)
	}
	for _, f := range settings {
		set(d.Settings, f.Name, v(f.Name))
	}
	generation, _ = strconv.ParseInt(v("generation"), 10, 64) // none is 0
	if d.ClientSecret != "" {
		return d, generation, o.held.keep(d)
	}
	held = v("held")
	d.ClientSecret = o.held.of(held, d)
	return d, generation, held
}

func (o *Options) newPage(w http.ResponseWriter, r *http.Request) {
	d := o.Suggested
	d.Type = config.TypeOneLogin
	o.showForm(w, r, http.StatusOK, &formPage{Draft: d}, nil)
}

func (o *Options) editPage(w http.ResponseWriter, r *http.Request) {
	c, err := o.Control.Get(r.PathValue("name"))
	if err != nil {
		failureOf(err).refuse(w)
		return
	}
	o.showForm(w, r, http.StatusOK, &formPage{Draft: Draft{Name: c.Name, Type: c.Type, Domain: c.Domain, ClientID: c.ClientID, BaseURL: c.BaseURL, Settings: c.Settings}, Generation: c.Generation}, nil)
}

// showForm shows the form. No secret is ever in it: one that was typed is kept
// here for the next step.
func (o *Options) showForm(w http.ResponseWriter, r *http.Request, status int, p *formPage, wrong []FieldProblem) {
	edit := p.Generation > 0
	title, action, back := "New connector", "/new", "/"
	if edit {
		title, back = "Edit "+p.Draft.Name, "/connectors/"+p.Draft.Name
		action = back + "/edit"
	}
	p.frame, p.Action, p.Back, p.CanSave = o.frame(r, title), action, back, o.Control != nil
	if !p.CanSave {
		p.NoSave = "This instance keeps no connectors as data: what is tested here is saved in a file."
	}
	p.Fields = fieldsOf(p.Draft, edit)
	p.More = p.Draft.BaseURL != "" || len(p.Draft.Settings) > 0
	p.Draft.ClientSecret = ""
	for i := range p.Fields {
		f := &p.Fields[i]
		for _, x := range wrong {
			if x.Field == f.Name || strings.HasPrefix(f.Name, x.Field+".") {
				f.Wrong, x.Field = x.Detail, ""
			}
		}
		if f.Name == "client_secret" && p.Held != "" {
			f.Needed, f.Help = false, "The one that you typed is kept for ten minutes: leave blank to use it."
		}
	}
	for _, x := range wrong {
		if !p.has(x.Field) {
			p.Wrong = strings.TrimSpace(p.Wrong + " " + x.Field + " " + x.Detail)
		}
	}
	o.show(w, status, formTemplate, p)
}

func (p *formPage) has(name string) bool {
	for _, f := range p.Fields {
		if f.Name == name || strings.HasPrefix(f.Name, name+".") {
			return true
		}
	}
	return false
}

// submit tests or saves what was typed.
func (o *Options) submit(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name") // empty for a new one
	saved, err := o.saved(name)
	d, seen, held := o.typed(r, saved)
	p := &formPage{Draft: d, Generation: seen, Held: held}
	if err != nil {
		f := failureOf(err)
		p.Wrong = f.detail
		o.showForm(w, r, f.status, p, f.fields)
		return
	}
	if name != "" && (saved == nil || saved.Generation < seen) { // what the form does not show would be lost
		p.Wrong = "This instance does not know of what you have edited: it has just begun, or somebody has removed it. What you typed is still here; try again in a moment."
		o.showForm(w, r, http.StatusConflict, p, nil)
		return
	}
	if r.PostFormValue("action") != "save" || o.Control == nil {
		ctx, cancel := checkContext(r)
		defer cancel()
		result, wrong := o.CheckDraft(ctx, d)
		if len(wrong) == 0 {
			p.Check = &result
		}
		o.showForm(w, r, http.StatusOK, p, wrong)
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	c, err := o.Control.Put(ctx, draftOf(d), seen, who(r, "console"))
	if err == nil {
		o.held.drop(held)
		http.Redirect(w, r, "/connectors/"+c.Name, http.StatusSeeOther)
		return
	}
	f := failureOf(err)
	if len(f.fields) == 0 {
		p.Wrong = f.detail
	}
	if f.conflict != nil && seen > 0 && f.conflict.Generation > 0 {
		if now, err := o.Control.Get(d.Name); err == nil {
			p.Wrong, p.Generation, p.Theirs = "", now.Generation, difference(now, d, f.conflict)
		}
	}
	o.showForm(w, r, f.status, p, f.fields)
}

// difference is in what somebody else's connector is not what was typed.
func difference(now schemas.Connector, d Draft, c *registry.ConflictError) *theirs {
	t := &theirs{By: c.By, At: c.At}
	mine := fieldsOf(d, true)
	for i, f := range fieldsOf(Draft{Name: now.Name, Type: now.Type, Domain: now.Domain, ClientID: now.ClientID, BaseURL: now.BaseURL, Settings: now.Settings}, true) {
		if f.Value != mine[i].Value {
			t.Fields = append(t.Fields, f)
		}
	}
	return t
}

// holds are secrets that were typed into a form which was then shown again: they
// are never in a page, so whoever has typed one has a handle to it, for the same
// account.
type holds struct{ kept kept[heldSecret] }

type heldSecret struct{ secret, account string }

func accountOf(d Draft) string { return d.Domain + "\x00" + d.BaseURL + "\x00" + d.ClientID }

func (h *holds) keep(d Draft) (handle string) {
	return h.kept.keep(heldSecret{d.ClientSecret, accountOf(d)})
}

// of is the secret of a handle; empty if there is none for the account.
func (h *holds) of(handle string, d Draft) string {
	if s, ok := h.kept.get(handle); ok && s.account == accountOf(d) {
		return s.secret
	}
	return ""
}

func (h *holds) drop(handle string) { h.kept.drop(handle) }
