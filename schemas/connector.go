package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ConnectorVersion is the format version of a Connector on the control log.
const ConnectorVersion = 1

// Connector is a connector as data: the value of the key "<connector>" on the
// control log. Its settings have the names and the forms that they have in a
// connector's file.
type Connector struct {
	// Version is ConnectorVersion; Marshal writes it whatever it is here.
	Version int
	// Name is the tenant key, see ValidConnector.
	Name     string
	Type     string
	Domain   string
	ClientID string
	// BaseURL replaces "https://<domain>"; empty = not replaced.
	BaseURL string
	Secret  SealedSecret
	Paused  bool
	// Settings are all other fields by name, as JSON: what they mean is judged by
	// the configuration, as for a file.
	Settings map[string]json.RawMessage
	// Generation is 1 for a connector that was just made, and one more with each
	// change.
	Generation int64
	UpdatedAt  time.Time
	UpdatedBy  string
}

// SealedSecret is a client secret that only the deployment's private key opens.
type SealedSecret struct {
	// Sealed is "ok1.<key id>.<base64url>".
	Sealed string `json:"sealed"`
	// Generation is 1 or more and grows when the secret changes, and only then.
	Generation int64     `json:"generation"`
	SealedAt   time.Time `json:"sealed_at"`
}

// wireConnector are the fields of Connector that are not Settings.
type wireConnector struct {
	Version    int           `json:"version"`
	Name       string        `json:"name"`
	Type       string        `json:"type"`
	Domain     string        `json:"domain"`
	ClientID   string        `json:"client_id"`
	BaseURL    string        `json:"base_url"`
	Secret     *SealedSecret `json:"client_secret"`
	Paused     bool          `json:"paused"`
	Generation int64         `json:"generation"`
	UpdatedAt  time.Time     `json:"updated_at"`
	UpdatedBy  string        `json:"updated_by"`
}

// fixedFields are the names of wireConnector's fields.
var fixedFields = []string{"version", "name", "type", "domain", "client_id", "base_url", "client_secret", "paused", "generation", "updated_at", "updated_by"}

// Marshal returns c as JSON: the fields of every connector, then its Settings by
// name.
func (c Connector) Marshal() []byte {
	secret := c.Secret
	secret.SealedAt = wireTime(secret.SealedAt)
	value := marshal(wireConnector{
		Version: ConnectorVersion, Name: c.Name, Type: c.Type, Domain: c.Domain, ClientID: c.ClientID, BaseURL: c.BaseURL,
		Secret: &secret, Paused: c.Paused, Generation: c.Generation, UpdatedAt: wireTime(c.UpdatedAt), UpdatedBy: c.UpdatedBy,
	})
	value = value[:len(value)-1]
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		if slices.Contains(fixedFields, name) {
			continue
		}
		value = append(append(append(append(value, ','), marshal(name)...), ':'), marshal(c.Settings[name])...)
	}
	return append(value, '}')
}

// ParseConnector reads what Marshal wrote. The error wraps ErrVersion for an
// unknown version.
func ParseConnector(value []byte) (Connector, error) {
	c, err := parseConnector(value)
	if err != nil {
		return Connector{}, fmt.Errorf("parsing connector: %w", err)
	}
	return c, nil
}

func parseConnector(value []byte) (Connector, error) {
	if err := checkVersion(value, ConnectorVersion); err != nil {
		return Connector{}, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(value, &all); err != nil {
		return Connector{}, err
	}
	// Names are told apart by case here: what is not a field of ours to the letter
	// is a setting, and judged as one.
	fixed := map[string]json.RawMessage{}
	for _, name := range fixedFields {
		if text, ok := all[name]; ok {
			fixed[name] = text
			delete(all, name)
		}
	}
	var w wireConnector
	if err := json.Unmarshal(marshal(fixed), &w); err != nil {
		return Connector{}, err
	}
	err := required(field{"name", w.Name == ""}, field{"type", w.Type == ""}, field{"domain", w.Domain == ""}, field{"client_id", w.ClientID == ""},
		field{"client_secret", w.Secret == nil || w.Secret.Sealed == ""}, field{"generation", w.Generation < 1}, field{"updated_at", w.UpdatedAt.IsZero()})
	switch {
	case err != nil:
		return Connector{}, err
	case !ValidConnector(w.Name):
		return Connector{}, fmt.Errorf("name %.80q is none of a connector", w.Name)
	case w.Secret.Generation < 1:
		return Connector{}, fmt.Errorf("client_secret is of generation %d, below 1", w.Secret.Generation)
	}
	w.Secret.SealedAt = timeOf(&w.Secret.SealedAt)
	if len(all) == 0 {
		all = nil
	}
	return Connector{
		Version: w.Version, Name: w.Name, Type: w.Type, Domain: w.Domain, ClientID: w.ClientID, BaseURL: w.BaseURL, Secret: *w.Secret,
		Paused: w.Paused, Settings: all, Generation: w.Generation, UpdatedAt: timeOf(&w.UpdatedAt), UpdatedBy: w.UpdatedBy,
	}, nil
}

// KeyID returns the id of the key that s was sealed for; empty where it does not
// have the form.
func (s SealedSecret) KeyID() string {
	rest, ok := strings.CutPrefix(s.Sealed, "ok1.")
	id, _, dot := strings.Cut(rest, ".")
	if !ok || !dot {
		return ""
	}
	return id
}

// Shown returns c as JSON for people, logs of changes and API answers: of the
// secret it says which key it was sealed for, and when. What it returns cannot
// be stored as a connector.
func (c Connector) Shown() []byte {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(c.Marshal(), &all); err != nil {
		panic("schemas: " + err.Error()) // impossible: it was just written
	}
	all["client_secret"] = marshal(struct {
		Set        bool      `json:"set"`
		KeyID      string    `json:"key_id"`
		Generation int64     `json:"generation"`
		SealedAt   time.Time `json:"sealed_at"`
	}{true, c.Secret.KeyID(), c.Secret.Generation, wireTime(c.Secret.SealedAt)})
	return marshal(all)
}

// ControlKind is what a key of the control log stands for.
type ControlKind uint8

// The kinds of records on the control log.
const (
	// ControlConnector is "<connector>": a Connector, or a tombstone.
	ControlConnector ControlKind = iota
	// ControlJob is "<connector>/jobs/<id>": a request to the connector's owner.
	ControlJob
	// ControlBell is "<connector>/bell": the connector's owner is to look at what
	// was written to its shard.
	ControlBell
	// ControlSealing is "_sealing/<key id>": a public key, see SealingKey.
	ControlSealing
)

// ControlKey is a key of the control log.
type ControlKey struct {
	Kind ControlKind
	// Connector is empty for ControlSealing.
	Connector string
	// ID is that of a job or a key; empty for the others.
	ID string
}

const (
	sealingPrefix = "_sealing/"
	jobInfix      = "/jobs/"
	bellSuffix    = "/bell"
)

// String returns the key as it is on the topic.
func (k ControlKey) String() string {
	switch k.Kind {
	case ControlJob:
		return k.Connector + jobInfix + k.ID
	case ControlBell:
		return k.Connector + bellSuffix
	case ControlSealing:
		return sealingPrefix + k.ID
	case ControlConnector:
	}
	return k.Connector
}

// errControlKey is wrapped by the error for a key that is none of ours.
var errControlKey = errors.New("is no key of the control log")

// ParseControlKey reads what String wrote.
func ParseControlKey(key []byte) (ControlKey, error) {
	text := string(key)
	var k ControlKey
	if id, ok := strings.CutPrefix(text, sealingPrefix); ok {
		k = ControlKey{Kind: ControlSealing, ID: id}
	} else if name, ok := strings.CutSuffix(text, bellSuffix); ok {
		k = ControlKey{Kind: ControlBell, Connector: name}
	} else if name, id, ok := strings.Cut(text, jobInfix); ok {
		k = ControlKey{Kind: ControlJob, Connector: name, ID: id}
	} else {
		k = ControlKey{Kind: ControlConnector, Connector: text}
	}
	needsID := k.Kind == ControlJob || k.Kind == ControlSealing
	if k.Kind != ControlSealing && !ValidConnector(k.Connector) || needsID && !validID(k.ID) {
		return ControlKey{}, fmt.Errorf("%.200q %w", text, errControlKey)
	}
	return k, nil
}

// validID tells whether id can be that of a job or a key.
func validID(id string) bool {
	for _, c := range []byte(id) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return id != "" && len(id) <= 64
}
