package seal

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func newKey(t testing.TB) PrivateKey {
	t.Helper()
	text, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParsePrivateKey(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func bound() Bound {
	return Bound{
		Topic: "onelogin.connectors", Connector: "acme", Field: "client_secret", Type: "onelogin", Domain: "acme.onelogin.com",
		BaseURL: "https://proxy.example", ClientID: "0123", Generation: 3,
	}
}

const canary = "s3aled-canary\"'"

// Whatever of its bounds is changed, a secret does not open: nor moved, nor
// replayed under another generation.
func TestBound(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	ring := NewRing(k)
	sealed, err := k.Public().Seal(canary, bound())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Open(sealed, bound()); err != nil || got != canary {
		t.Fatalf("got %q, %v", got, err)
	}
	for name, change := range map[string]func(*Bound){
		"topic":                  func(b *Bound) { b.Topic = "other" },
		"connector":              func(b *Bound) { b.Connector = "globex" },
		"field":                  func(b *Bound) { b.Field = "token" },
		"type":                   func(b *Bound) { b.Type = "other" },
		"domain":                 func(b *Bound) { b.Domain = "evil.onelogin.com" },
		"base_url":               func(b *Bound) { b.BaseURL = "" },
		"client_id":              func(b *Bound) { b.ClientID = "0124" },
		"older generation":       func(b *Bound) { b.Generation = 2 },
		"newer generation":       func(b *Bound) { b.Generation = 4 },
		"what is between fields": func(b *Bound) { b.Domain, b.BaseURL = b.Domain+b.BaseURL, "" },
		"a byte from one to another": func(b *Bound) {
			b.Connector, b.Field = b.Connector+b.Field[:1], b.Field[1:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bound()
			change(&b)
			if got, err := ring.Open(sealed, b); !errors.Is(err, ErrBound) || got != "" {
				t.Errorf("opened: %q, %v", got, err)
			}
		})
	}
}

func TestAlteredDoesNotOpen(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	ring := NewRing(PrivateKey{}, k)
	sealed, err := k.Public().Seal(canary, bound())
	if err != nil {
		t.Fatal(err)
	}
	from := len(form) + 17
	for i := 0; i < len(sealed); i += 7 {
		other := byte('A')
		if sealed[i] == other {
			other = 'B'
		}
		altered := sealed[:i] + string(other) + sealed[i+1:]
		got, err := ring.Open(altered, bound())
		if err == nil || got != "" {
			t.Fatalf("opened with byte %d altered: %v", i, err)
		}
		if i >= from && !errors.Is(err, ErrBound) && !errors.Is(err, ErrForm) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for _, cut := range []int{0, 3, len(form) + 5, from, from + 10, len(sealed) - 1} {
		if _, err := ring.Open(sealed[:cut], bound()); err == nil {
			t.Errorf("opened though cut at %d", cut)
		}
	}
	if _, err := NewRing(newKey(t)).Open(sealed, bound()); !errors.Is(err, ErrNoKey) {
		t.Errorf("with another's key: %v", err)
	}
	if _, err := (*Ring)(nil).Open(sealed, bound()); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a ring: %v", err)
	}
	if _, err := (&Ring{}).Open("plain", bound()); !errors.Is(err, ErrForm) {
		t.Errorf("a plain secret: %v", err)
	}
}

func TestSealFailsClosed(t *testing.T) {
	t.Parallel()
	for name, seal := range map[string]func() (string, error){
		"without a key": func() (string, error) { return PublicKey{}.Seal(canary, bound()) },
		"nothing":       func() (string, error) { return newKey(t).Public().Seal("", bound()) },
		"too much":      func() (string, error) { return newKey(t).Public().Seal(strings.Repeat("x", MaxSecret+1), bound()) },
	} {
		if got, err := seal(); err == nil || got != "" || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	a, errA := newKey(t).Public().Seal(canary, bound())
	b, errB := newKey(t).Public().Seal(canary, bound())
	if errA != nil || errB != nil || a == b || strings.Contains(a, canary) {
		t.Errorf("sealed twice: %v, %v, same %t", errA, errB, a == b)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	text, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewPublicKey(k.Public().Bytes())
	if err != nil || again.ID() != k.Public().ID() || len(again.ID()) != 16 {
		t.Errorf("public key %s is read as %s, %v", k.Public().ID(), again.ID(), err)
	}
	if _, err := NewPublicKey(k.Public().Bytes()[1:]); err == nil {
		t.Error("a part of a public key is read")
	}
	for i := range text {
		altered := text[:i] + "7" + text[i+1:]
		if altered == text {
			continue
		}
		if _, err := ParsePrivateKey(altered); !errors.Is(err, ErrKeyForm) || strings.Contains(err.Error(), altered[20:]) {
			t.Fatalf("with character %d altered: %v", i, err)
		}
	}
	for _, broken := range []string{"", text[:len(text)-1], text + "A", strings.ToLower(text), text + "\n" + text} {
		if _, err := ParsePrivateKey(broken); !errors.Is(err, ErrKeyForm) {
			t.Errorf("%d characters: %v", len(broken), err)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if shown := fmt.Sprintf(verb, k); strings.Contains(shown, text[20:40]) {
			t.Errorf("%s shows the key", verb)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := newKey(f)
	sealed, err := k.Public().Seal(canary, bound())
	if err != nil {
		f.Fatal(err)
	}
	ring := NewRing(k)
	f.Add(sealed)
	f.Add("ok1.0011223344556677.AAAA")
	f.Add("ok1." + k.Public().ID() + ".")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := ring.Open(text, bound()); err == nil && (text != sealed || got != canary) {
			t.Fatalf("%q opens", text)
		}
	})
}

func FuzzPrivateKey(f *testing.F) {
	text, err := GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(keyPrefix)
	f.Fuzz(func(t *testing.T, other string) {
		if k, err := ParsePrivateKey(other); err == nil && k.Public().ID() == "" {
			t.Fatal("a key without an id")
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	k := newKey(b)
	sealed, err := k.Public().Seal(canary, bound())
	if err != nil {
		b.Fatal(err)
	}
	ring := NewRing(k)
	for b.Loop() {
		if _, err := ring.Open(sealed, bound()); err != nil {
			b.Fatal(err)
		}
	}
}
