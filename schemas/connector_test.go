package schemas_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

const (
	connectorJSON = `{"version":1,"name":"acme","type":"onelogin","domain":"acme.onelogin.com","client_id":"0123","base_url":"","client_secret":{"sealed":"ok1.0011223344556677.AAAA","generation":3,"sealed_at":"2026-11-22T07:05:11Z"},"paused":false,"generation":7,"updated_at":"2026-11-22T07:05:12Z","updated_by":"<ann>","page_size":"auto","poll":{"min":"2s"}}`
	sealingJSON   = `{"version":1,"key_id":"0011223344556677","public_key":"AAEC","active":true,"since":"2026-11-22T07:05:11Z"}`
	bellJSON      = `{"version":1,"at":"2026-11-22T07:05:11Z","by":"ann"}`
	auditJSON     = `{"version":1,"at":"2026-11-22T07:05:11Z","by":"ann","via":"command","action":"connector.pause","connector":"acme","shard":0,"generation":8,"before":{"paused":false},"after":{"paused":true},"reason":"quiet"}`
)

func validConnector() schemas.Connector {
	return schemas.Connector{
		Version: 1, Name: "acme", Type: "onelogin", Domain: "acme.onelogin.com", ClientID: "0123",
		Secret:   schemas.SealedSecret{Sealed: "ok1.0011223344556677.AAAA", Generation: 3, SealedAt: at("2026-11-22T07:05:11Z")},
		Settings: map[string]json.RawMessage{"poll": json.RawMessage(`{"min":"2s"}`), "page_size": json.RawMessage(`"auto"`)}, Generation: 7,
		UpdatedAt: at("2026-11-22T07:05:12Z"), UpdatedBy: "<ann>",
	}
}

func TestConnector(t *testing.T) {
	t.Parallel()
	want := validConnector()
	if diff := cmp.Diff(connectorJSON, string(want.Marshal())); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	validate(t, "connector", want.Marshal())
	got, err := schemas.ParseConnector([]byte(connectorJSON))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	for field, value := range map[string]any{
		"name": "Acme", "type": nil, "domain": nil, "client_id": "", "client_secret": nil, "generation": 0, "updated_at": nil, "paused": "yes",
	} {
		if _, err := schemas.ParseConnector(mutate(t, connectorJSON, field, value)); err == nil {
			t.Errorf("no error for %s = %v", field, value)
		}
	}
	if _, err := schemas.ParseConnector(mutate(t, connectorJSON, "client_secret", "plain")); err == nil {
		t.Error("a plain secret is read")
	}
	if _, err := schemas.ParseConnector(mutate(t, connectorJSON, "version", 2)); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("a later version: got %v, want ErrVersion", err)
	}
}

// A field that differs from one of ours in case only is no field of ours: else
// one text would mean two things.
func TestConnectorFieldsAreTakenToTheLetter(t *testing.T) {
	t.Parallel()
	got, err := schemas.ParseConnector(mutate(t, connectorJSON, "DOMAIN", "evil.onelogin.com"))
	if err != nil || got.Domain != "acme.onelogin.com" || string(got.Settings["DOMAIN"]) != `"evil.onelogin.com"` {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestConnectorShownHasNoSecret(t *testing.T) {
	t.Parallel()
	shown := validConnector().Shown()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(shown, &all); err != nil {
		t.Fatal(err)
	}
	if want := `{"set":true,"key_id":"0011223344556677","generation":3,"sealed_at":"2026-11-22T07:05:11Z"}`; string(all["client_secret"]) != want {
		t.Errorf("got %s, want %s", all["client_secret"], want)
	}
	if _, err := schemas.ParseConnector(shown); err == nil {
		t.Error("what is shown can be stored")
	}
	for sealed, want := range map[string]string{"": "", "ok1.ab": "", "ok2.ab.cd": "", "ok1.ab.cd": "ab"} {
		if got := (schemas.SealedSecret{Sealed: sealed}).KeyID(); got != want {
			t.Errorf("%q is sealed for %q, want %q", sealed, got, want)
		}
	}
}

func TestControlKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]schemas.ControlKey{
		"acme":           {Connector: "acme"},
		"jobs":           {Connector: "jobs"},
		"acme/jobs/01-a": {Kind: schemas.ControlJob, Connector: "acme", ID: "01-a"},
		"acme/bell":      {Kind: schemas.ControlBell, Connector: "acme"},
		"_sealing/00ff":  {Kind: schemas.ControlSealing, ID: "00ff"},
	} {
		got, err := schemas.ParseControlKey([]byte(text))
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Acme", "_owner", "_sealing/", "_sealing/A", "acme/", "acme/jobs/", "acme/jobs/a/b", "/bell", "acme/2026-11-22T07:05Z"} {
		if k, err := schemas.ParseControlKey([]byte(text)); err == nil {
			t.Errorf("%q is read as %+v", text, k)
		}
	}
}

func FuzzConnector(f *testing.F) {
	f.Add([]byte(connectorJSON))
	f.Add([]byte(`{"version":1,"name":"a","Name":"b","type":"t","domain":"d","client_id":"c","client_secret":{"sealed":"s","generation":1},"generation":1,"updated_at":"9999-12-31T23:59:59-01:00"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := schemas.ParseConnector(value)
		if err != nil {
			return
		}
		written := c.Marshal()
		again, err := schemas.ParseConnector(written)
		if err != nil || string(again.Marshal()) != string(written) {
			t.Fatalf("what was read as %+v is written as %s, and read as %+v, %v", c, written, again, err)
		}
		c.Shown()
	})
}

func FuzzControlKey(f *testing.F) {
	for _, text := range []string{"acme", "acme/jobs/1", "acme/bell", "_sealing/ff", "a/jobs/b/bell"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		if k, err := schemas.ParseControlKey(key); err == nil && k.String() != string(key) {
			t.Fatalf("%q is read as %+v, which is %q", key, k, k)
		}
	})
}

func TestSealingKey(t *testing.T) {
	t.Parallel()
	want := schemas.SealingKey{ID: "0011223344556677", Public: []byte{0, 1, 2}, Active: true, Since: at("2026-11-22T07:05:11Z")}
	if diff := cmp.Diff(sealingJSON, string(want.Marshal())); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	validate(t, "sealing", want.Marshal())
	got, err := schemas.ParseSealingKey([]byte(sealingJSON))
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("read: got %+v, %v", got, err)
	}
	for field, value := range map[string]any{"key_id": "A", "public_key": "a+b=", "since": nil} {
		if _, err := schemas.ParseSealingKey(mutate(t, sealingJSON, field, value)); err == nil {
			t.Errorf("no error for %s = %v", field, value)
		}
	}
	if _, err := schemas.ParseSealingKey(mutate(t, sealingJSON, "version", 2)); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("a later version: got %v, want ErrVersion", err)
	}
}

func FuzzSealingKey(f *testing.F) {
	f.Add([]byte(sealingJSON))
	f.Fuzz(func(t *testing.T, value []byte) {
		k, err := schemas.ParseSealingKey(value)
		if err != nil {
			return
		}
		if again, err := schemas.ParseSealingKey(k.Marshal()); err != nil || !cmp.Equal(k, again) {
			t.Fatalf("what was read as %+v is read again as %+v, %v", k, again, err)
		}
	})
}

func TestBell(t *testing.T) {
	t.Parallel()
	want := schemas.Bell{At: at("2026-11-22T07:05:11Z"), By: "ann"}
	got, err := schemas.ParseBell(want.Marshal())
	if err != nil || got != want || string(want.Marshal()) != bellJSON {
		t.Errorf("got %+v, %v from %s", got, err, want.Marshal())
	}
	validate(t, "bell", want.Marshal())
	if _, err := schemas.ParseBell(mutate(t, bellJSON, "version", 2)); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("a later version: got %v, want ErrVersion", err)
	}
}

func FuzzBell(f *testing.F) {
	f.Add([]byte(bellJSON))
	f.Fuzz(func(t *testing.T, value []byte) {
		b, err := schemas.ParseBell(value)
		if err != nil {
			return
		}
		if again, err := schemas.ParseBell(b.Marshal()); err != nil || again != b {
			t.Fatalf("what was read as %+v is read again as %+v, %v", b, again, err)
		}
	})
}
