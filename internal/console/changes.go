package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/registry"
	"onelogin-kafka/producer"
	"onelogin-kafka/schemas"
)

// Control changes connectors on the control log, as *registry.Registry does. A
// generation that is not the one on the log is a *registry.ConflictError.
type Control interface {
	Get(name string) (schemas.Connector, error)
	Put(ctx context.Context, d registry.Draft, generation int64, who registry.Who) (schemas.Connector, error)
	Pause(ctx context.Context, name string, paused bool, generation int64, who registry.Who) (schemas.Connector, error)
	Remove(ctx context.Context, name string, generation int64, who registry.Who) error
}

// saved is a connector of the control log; nil if it is not there.
func (o *Options) saved(name string) (*schemas.Connector, error) {
	if o.Control == nil {
		return nil, nil
	}
	c, err := o.Control.Get(name)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// who is what the audit says of a caller: which token, and from where.
func who(r *http.Request, via string) registry.Who {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return registry.Who{By: callerOf(r).role.String() + " at " + host, Via: via}
}

// writeWithin is how long Kafka is given for a change: somebody waits for the
// answer.
const writeWithin = 6 * time.Second

func writeContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), writeWithin)
}

// failure is why a change was not made, or is not known to have been.
type failure struct {
	status   int
	detail   string
	outcome  Outcome
	fields   []FieldProblem
	conflict *registry.ConflictError
}

func (f *failure) refuse(w http.ResponseWriter) {
	tell(w, Problem{Status: f.status, Detail: f.detail, Outcome: f.outcome, Errors: f.fields})
}

// failureOf says what an error of Control means to who wanted the change.
func failureOf(err error) *failure {
	var conflict *registry.ConflictError
	var problems config.Problems
	switch {
	case errors.As(err, &conflict):
		return &failure{status: http.StatusPreconditionFailed, detail: sentence(conflict.Error()), conflict: conflict}
	case errors.As(err, &problems):
		f := &failure{status: http.StatusUnprocessableEntity, detail: "What was sent is no connector."}
		for _, p := range problems {
			f.fields = append(f.fields, FieldProblem{p.Path, p.Message})
		}
		return f
	case errors.Is(err, registry.ErrSecret):
		return &failure{status: http.StatusUnprocessableEntity, detail: "The client secret is needed.", fields: []FieldProblem{{"client_secret", registry.ErrSecret.Error()}}}
	case errors.Is(err, registry.ErrSealingKey):
		return &failure{status: http.StatusConflict, detail: sentence(registry.ErrSealingKey.Error())}
	case errors.Is(err, registry.ErrNotFound):
		return &failure{status: http.StatusNotFound, detail: "There is no connector of this name on the control log; one of a file is changed in its file."}
	}
	return failureOfKafka(err)
}

// failureOfKafka says what is known of a change that Kafka did not confirm.
func failureOfKafka(err error) *failure {
	f := &failure{status: http.StatusServiceUnavailable, outcome: OutcomeNone, detail: "Nothing was changed: Kafka cannot be reached, or did not do it in time: " + err.Error() + ". Try again."}
	switch {
	case errors.Is(err, registry.ErrNotRetired):
		f.outcome, f.detail = OutcomePart, sentence(err.Error())
	case errors.Is(err, producer.ErrUnknown):
		f.outcome, f.detail = OutcomeUnknown, "It is not known whether it was changed: Kafka was told to, and did not answer in time. Look again before you repeat it. ("+err.Error()+")"
	}
	return f
}

func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

func draftOf(d Draft) registry.Draft {
	return registry.Draft{Name: d.Name, Type: d.Type, Domain: d.Domain, ClientID: d.ClientID, BaseURL: d.BaseURL, Secret: d.ClientSecret, Paused: d.Paused, Settings: d.Settings}
}

// saved is a connector as the API shows it to who has made or changed it.
func showSaved(w http.ResponseWriter, status int, c schemas.Connector) {
	w.Header().Set("ETag", etag(c.Generation))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(c.Shown()) // fails only when the caller has gone
}

func etag(generation int64) string { return `"` + strconv.FormatInt(generation, 10) + `"` }

// generation reads If-Match, without which nothing is changed: who has not looked
// does not know what he overwrites.
func generation(w http.ResponseWriter, r *http.Request) (int64, bool) {
	text := r.Header.Get("If-Match")
	if text == "" {
		refuse(w, http.StatusPreconditionRequired, `Send If-Match with the ETag that was seen, e.g. If-Match: "3".`)
		return 0, false
	}
	n, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	if err != nil || n < 1 || text != etag(n) {
		refuse(w, http.StatusBadRequest, "If-Match is no ETag of a connector.")
		return 0, false
	}
	return n, true
}

func (o *Options) definition(w http.ResponseWriter, r *http.Request) {
	c, err := o.Control.Get(r.PathValue("name"))
	if err != nil {
		failureOf(err).refuse(w)
		return
	}
	showSaved(w, http.StatusOK, c)
}

func (o *Options) create(w http.ResponseWriter, r *http.Request) {
	d := Draft{Type: config.TypeOneLogin}
	if !read(w, r, &d) {
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	c, err := o.Control.Put(ctx, draftOf(d), 0, who(r, "api"))
	if err != nil {
		failureOf(err).refuse(w)
		return
	}
	w.Header().Set("Location", "/api/v1/connectors/"+c.Name)
	showSaved(w, http.StatusCreated, c)
}

func (o *Options) replace(w http.ResponseWriter, r *http.Request) {
	seen, ok := generation(w, r)
	d := Draft{Type: config.TypeOneLogin, Name: r.PathValue("name")}
	if !ok || !read(w, r, &d) {
		return
	}
	if d.Name != r.PathValue("name") {
		refuse(w, http.StatusUnprocessableEntity, "What was sent is another connector.", FieldProblem{"name", "is not the one in the path"})
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	c, err := o.Control.Put(ctx, draftOf(d), seen, who(r, "api"))
	if err != nil {
		failureOf(err).refuse(w)
		return
	}
	showSaved(w, http.StatusOK, c)
}

func (o *Options) pause(w http.ResponseWriter, r *http.Request) {
	seen, ok := generation(w, r)
	var body struct {
		Paused *bool `json:"paused"`
	}
	if !ok || !read(w, r, &body) {
		return
	}
	if body.Paused == nil {
		refuse(w, http.StatusUnprocessableEntity, "It is not said whether to pause.", FieldProblem{"paused", "is missing"})
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	c, err := o.Control.Pause(ctx, r.PathValue("name"), *body.Paused, seen, who(r, "api"))
	if err != nil {
		failureOf(err).refuse(w)
		return
	}
	showSaved(w, http.StatusOK, c)
}

func (o *Options) remove(w http.ResponseWriter, r *http.Request) {
	seen, ok := generation(w, r)
	if !ok {
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	if err := o.Control.Remove(ctx, r.PathValue("name"), seen, who(r, "api")); err != nil {
		failureOf(err).refuse(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// pausePage and removePage are the buttons of a connector's page.
func (o *Options) pausePage(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	seen, ok := o.seen(w, r)
	if !ok {
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	if _, err := o.Control.Pause(ctx, name, r.PostFormValue("paused") == "true", seen, who(r, "console")); err != nil {
		f := failureOf(err)
		o.showConnector(w, r, f.status, nil, &notice{Bad: true, Text: f.detail})
		return
	}
	http.Redirect(w, r, "/connectors/"+name, http.StatusSeeOther)
}

// seen is the generation that a page was made of.
func (o *Options) seen(w http.ResponseWriter, r *http.Request) (int64, bool) {
	n, err := strconv.ParseInt(r.PostFormValue("generation"), 10, 64)
	if err != nil || n < 1 {
		refuse(w, http.StatusBadRequest, "The form does not say which generation of the connector was seen; open its page again.")
		return 0, false
	}
	return n, true
}

type removing struct {
	frame
	Saved schemas.Connector
}

func (o *Options) askRemove(w http.ResponseWriter, r *http.Request) {
	c, err := o.Control.Get(r.PathValue("name"))
	if err != nil {
		failureOf(err).refuse(w)
		return
	}
	o.show(w, http.StatusOK, removeTemplate, &removing{o.frame(r, "Remove "+c.Name), c})
}

func (o *Options) removePage(w http.ResponseWriter, r *http.Request) {
	seen, ok := o.seen(w, r)
	if !ok {
		return
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	if err := o.Control.Remove(ctx, r.PathValue("name"), seen, who(r, "console")); err != nil {
		f := failureOf(err)
		o.showConnector(w, r, f.status, nil, &notice{Bad: true, Text: f.detail})
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
