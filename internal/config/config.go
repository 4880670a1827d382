// Package config reads the configuration file, the folder of connector files
// and, in their absence, the environment into one validated Config. It reports
// every problem at once. It starts nothing, connects to nothing, and reads no
// environment but the function it is given.
package config

import (
	"fmt"
	"maps"
	"time"

	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/schemas"
)

// Config is a whole, validated configuration. Secrets in it print as <secret>.
// Paths are as written when absolute, else joined to the folder of the
// configuration file.
//
// The yaml tags are the keys of the file: onelogin-kafka.example.yaml describes
// each and changes with this struct.
type Config struct {
	Kafka Kafka `yaml:"kafka"`
	// Group is the consumer group and the prefix of transactional ids: one
	// name per deployment.
	Group string `yaml:"group"`
	// Instance is the stable name of this instance; the host name unless given.
	Instance string              `yaml:"instance"`
	Topics   Topics              `yaml:"topics"`
	Key      schemas.KeyStrategy `yaml:"key"`
	// Value is ValueVerbatim or ValueCompact.
	Value string `yaml:"value"`
	// CommitInterval is the least time between the starts of two transactions
	// of a shard, 0 to 10 s.
	CommitInterval time.Duration `yaml:"commit_interval"`
	// Compression is none, gzip, snappy, lz4 or zstd.
	Compression string `yaml:"compression"`
	// Memory is what the process should stay within, 64 MiB to 1 TiB; 0 = auto: the
	// container's limit, if it has one.
	Memory Size `yaml:"memory" config:"auto"`
	HTTP   HTTP `yaml:"http"`
	Log    Log  `yaml:"log"`
	// Proxy is the way to OneLogin of all connectors that have none of their own.
	Proxy Proxy `yaml:"proxy"`
	// CAFile is trusted for OneLogin and proxies, besides the system's authorities.
	CAFile string `yaml:"ca_file"`
	// Connectors are those that can be polled: of the file, then of
	// ConnectorsDir in the order of their file names, then the last good
	// versions of those that are set aside.
	Connectors []Connector `yaml:"connectors"`
	// SetAside are the others, in the same order.
	SetAside []SetAside `yaml:"-" json:"-"`
	// ConnectorsDir is the folder of connector files; empty = none.
	ConnectorsDir string `yaml:"connectors_dir"`
	// Secrets is what opens the sealed secrets of the control log.
	Secrets Secrets `yaml:"secrets"`

	// Authorities are the content of CAFile, in PEM form.
	Authorities []byte `yaml:"-" json:"-"`

	// Warnings are what is not wrong and yet hardly meant. None holds a secret.
	Warnings Problems `yaml:"-" json:"-"`

	// Sum is what Checksum returns for what this Config was read from.
	Sum [32]byte `yaml:"-" json:"-"`
}

// The forms of an event's value.
const (
	ValueVerbatim = "verbatim" // the bytes as OneLogin sent them
	ValueCompact  = "compact"  // without insignificant white space
)

// Kafka is how to reach the cluster. Either Brokers or Embedded is set.
type Kafka struct {
	// Brokers are host:port.
	Brokers []string `yaml:"brokers" config:"commas"`
	// Embedded is the data folder of the in-process broker, for development.
	Embedded string `yaml:"embedded"`
	// TLS is nil for connections in the clear.
	TLS *TLS `yaml:"tls"`
	// SASL is nil for connections without authentication.
	SASL     *SASL    `yaml:"sasl"`
	Timeouts Timeouts `yaml:"timeouts"`
}

// Timeouts bound the steps of a connection to a broker, each by itself; 100 ms
// to 5 min.
type Timeouts struct {
	// Connect is for the address's look-up and the connection.
	Connect time.Duration `yaml:"connect"`
	// Handshake is for TLS.
	Handshake time.Duration `yaml:"handshake"`
	// Login is for the broker's versions and SASL.
	Login time.Duration `yaml:"login"`
	// Request is for each request after that.
	Request time.Duration `yaml:"request"`
}

// TLS is how to reach a broker over TLS. All fields may be empty: then the
// system's authorities are trusted and no client certificate is shown.
type TLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

// The SASL mechanisms.
const (
	MechanismPlain       = "PLAIN" // only over TLS
	MechanismScramSHA256 = "SCRAM-SHA-256"
	MechanismScramSHA512 = "SCRAM-SHA-512"
	MechanismOAuthBearer = "OAUTHBEARER" // only over TLS
)

// SASL is how to authenticate to a broker: Username and Password with PLAIN and
// SCRAM, either Token or TokenURL with OAUTHBEARER.
type SASL struct {
	Mechanism string `yaml:"mechanism"`
	Username  string `yaml:"username"`
	Password  Secret `yaml:"password"`
	// Token is a bearer token, as a rule in a file that something else keeps
	// fresh.
	Token Secret `yaml:"token"`
	// TokenURL gives tokens for ClientID and ClientSecret (OAuth's client
	// credentials grant), with Scope unless that is empty.
	TokenURL     string `yaml:"token_url"`
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
	Scope        string `yaml:"scope"`
	// Audience and TokenParameters are sent with the request for a token.
	Audience        string            `yaml:"audience"`
	TokenParameters map[string]string `yaml:"token_parameters"`
	// Extensions are sent to the brokers with each token.
	Extensions map[string]string `yaml:"extensions"`
}

// Parameters are what is sent with the request for a token besides the grant.
func (s *SASL) Parameters() map[string]string {
	all := maps.Clone(s.TokenParameters)
	if s.Audience != "" {
		if all == nil {
			all = map[string]string{}
		}
		all["audience"] = s.Audience
	}
	return all
}

// Topics are the names and shapes of the topics.
type Topics struct {
	// Create makes the topics that are missing.
	Create bool `yaml:"create"`
	// ReplicationFactor of topics to be created, 1 to 32767: 3, or 1 with an
	// embedded broker, unless given.
	ReplicationFactor int              `yaml:"replication_factor"`
	Events            PartitionedTopic `yaml:"events"`
	Offsets           PartitionedTopic `yaml:"offsets"`
	Status            Topic            `yaml:"status"`
	DeadLetter        Topic            `yaml:"deadletter"`
	// Connectors is the control log.
	Connectors Topic `yaml:"connectors"`
	// Audit is who changed what.
	Audit Topic `yaml:"audit"`
}

// PartitionedTopic is a topic whose number of partitions can be chosen.
type PartitionedTopic struct {
	Name string `yaml:"name"`
	// Partitions the topic is created with; 1 to 10,000 for events, 1 to 1,000
	// for offsets.
	Partitions int `yaml:"partitions"`
}

// Topic is a topic with one partition.
type Topic struct {
	Name string `yaml:"name"`
}

// Names returns the topics' names, indexed by schemas.Topic.
func (t *Topics) Names() [schemas.NumTopics]string {
	return [schemas.NumTopics]string{
		schemas.Events: t.Events.Name, schemas.DeadLetter: t.DeadLetter.Name,
		schemas.Offsets: t.Offsets.Name, schemas.Status: t.Status.Name,
		schemas.Connectors: t.Connectors.Name, schemas.Audit: t.Audit.Name,
	}
}

// Secrets are the keys of sealed secrets.
type Secrets struct {
	Keys []SecretKey `yaml:"keys"`
}

// SecretKey is a private key, as onelogin-kafka secrets keygen makes them.
type SecretKey struct {
	PrivateKey Secret `yaml:"private_key"`
	// Active tells that new secrets are sealed with it: one key at most, and a
	// single one without being told.
	Active bool `yaml:"active"`
}

// Ring returns the private keys. Load has found them to be some.
func (s Secrets) Ring() (*seal.Ring, error) {
	var active seal.PrivateKey
	keys := make([]seal.PrivateKey, 0, len(s.Keys))
	for _, k := range s.Keys {
		text, err := k.PrivateKey.Reveal()
		if err != nil {
			return nil, err
		}
		key, err := seal.ParsePrivateKey(text)
		if err != nil {
			return nil, fmt.Errorf("a key of secrets.keys %w", err)
		}
		if k.Active || len(s.Keys) == 1 {
			active = key
		}
		keys = append(keys, key)
	}
	return seal.NewRing(active, keys...), nil
}

// HTTP is the listener for health, metrics and the console.
type HTTP struct {
	// Listen is host:port. Anything but loopback comes with TLS and Token.
	Listen string `yaml:"listen"`
	// TLS is nil for plain HTTP.
	TLS *ServerTLS `yaml:"tls"`
	// Hosts are the names, besides Listen's and loopback, by which the console may
	// be asked for; without port.
	Hosts []string `yaml:"hosts" config:"commas"`
	// URL is where people reach the console, without a path; empty = see Address.
	URL string `yaml:"url"`
	// Token is what callers must present; none asked for unless IsSet.
	Token Secret `yaml:"token"`
	// ViewerToken is what is enough to look; set only if Token is.
	ViewerToken Secret `yaml:"viewer_token"`
}

// ServerTLS is the certificate of the listener; both are set.
type ServerTLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Log is what is logged and how.
type Log struct {
	// Level is trace, debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is auto, console or json.
	Format string `yaml:"format"`
	// Requests has each request to OneLogin logged.
	Requests bool `yaml:"requests"`
}

// TypeOneLogin is the only type of connector.
const TypeOneLogin = "onelogin"

// Connector is one OneLogin account.
type Connector struct {
	// Name is the tenant key, see schemas.ValidConnector. Unique in a Config.
	Name string `yaml:"name"`
	Type string `yaml:"type"`
	// Domain is the account's host name, e.g. "acme.onelogin.com".
	Domain       string `yaml:"domain"`
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
	// StartFrom is where a connector without a position begins.
	StartFrom StartFrom `yaml:"start_from"`
	Poll      Poll      `yaml:"poll"`
	Sweep     Sweep     `yaml:"sweep"`
	Verify    Verify    `yaml:"verify"`
	RateLimit RateLimit `yaml:"rate_limit"`
	// PageSize is 1 to 1,000; 0 = auto: found out.
	PageSize int `yaml:"page_size" config:"auto"`
	// BaseURL replaces "https://<domain>", without a slash at its end; empty =
	// not replaced.
	BaseURL string `yaml:"base_url"`
	// Proxy is the way to OneLogin; what the connector leaves open is that of all.
	Proxy Proxy `yaml:"proxy"`
	// Paused connectors keep their position and are not polled.
	Paused bool `yaml:"paused"`

	// Source is where the connector is configured, "<file>:<line>".
	Source string `yaml:"-" json:"-"`
	// File is the connector's own file; empty for one of the main file.
	File string `yaml:"-" json:"-"`

	// Recorded tells that it is on the control log, not in a file.
	Recorded bool `yaml:"-" json:"-"`
	// SecretGeneration is the sealed secret's; 0 for one of a file.
	SecretGeneration int64 `yaml:"-" json:"-"`

	// content tells the secret's file as it was read from another; 0 if it has
	// none.
	content uint64 `yaml:"-"`
}

// Equal tells whether c and o mean the same connector, configured the same. A
// secret file whose content has changed is the same secret.
func (c Connector) Equal(o Connector) bool {
	same := c.ClientSecret.Equal(o.ClientSecret) && c.Proxy.Equal(o.Proxy)
	for _, x := range []*Connector{&c, &o} {
		x.Proxy, x.ClientSecret, x.Source, x.File, x.content = Proxy{}, Secret{}, "", "", 0
	}
	return same && c == o
}

// SameSecret tells whether the secret files of c and o held the same when they
// were read.
func (c Connector) SameSecret(o Connector) bool { return c.content == o.content }

// APIURL is the URL that the API's paths are appended to.
func (c Connector) APIURL() string {
	if c.BaseURL != "" {
		return c.BaseURL
	}
	return "https://" + c.Domain
}

// Poll is the time between two polls: Min while events come, growing to Max.
type Poll struct {
	Min time.Duration `yaml:"min"` // 10 ms to Max
	Max time.Duration `yaml:"max"` // up to 1 h
}

// Verify is the comparison of the topic with what OneLogin shows, which publishes
// what is missing.
type Verify struct {
	// Every is how often, 1h to 720h; 0 = never.
	Every time.Duration `yaml:"every"`
	// Behind is how old an event is when OneLogin shows it at last; 1h to 720h.
	Behind time.Duration `yaml:"behind"`
}

// Sweep is the re-read for late events.
type Sweep struct {
	Every  time.Duration `yaml:"every"`  // 1 s to Window
	Window time.Duration `yaml:"window"` // 1 min to 24 h
}

// RateLimit is how much of the account's hourly budget may be used.
type RateLimit struct {
	Share float64 `yaml:"share"` // above 0, up to 1
}

// StartFrom is a moment, given as such or as a distance from now.
type StartFrom struct {
	At  time.Time     // in UTC; zero if Ago counts
	Ago time.Duration // 0 = now
}

// Time returns the moment.
func (s StartFrom) Time(now time.Time) time.Time {
	if !s.At.IsZero() {
		return s.At
	}
	return now.Add(-s.Ago)
}

// String returns s as the configuration file has it.
func (s StartFrom) String() string {
	switch {
	case !s.At.IsZero():
		return s.At.Format(time.RFC3339Nano)
	case s.Ago == 0:
		return "now"
	}
	return s.Ago.String()
}

// MarshalText implements encoding.TextMarshaler with String.
func (s StartFrom) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseStartFrom reads what String writes: now, a duration back, or a time.
func ParseStartFrom(text string) (StartFrom, error) {
	if text == "now" {
		return StartFrom{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return StartFrom{Ago: ago}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.IsZero() {
		return StartFrom{}, fmt.Errorf("is no start: write now, a duration such as 24h, or a time such as 2026-11-22T07:05:00Z")
	}
	return StartFrom{At: at.UTC()}, nil
}

// Default returns the configuration before anything is read: everything that
// need not be given. It is not valid by itself, since brokers and connectors
// have no default.
func Default() Config {
	return Config{
		Kafka: Kafka{Timeouts: Timeouts{Connect: 10 * time.Second, Handshake: 10 * time.Second, Login: 10 * time.Second, Request: 30 * time.Second}},
		Group: "onelogin-kafka",
		Topics: Topics{
			Create:            true,
			ReplicationFactor: 3,
			Events:            PartitionedTopic{Name: "onelogin.events", Partitions: 12},
			Offsets:           PartitionedTopic{Name: "onelogin.offsets", Partitions: 32},
			Status:            Topic{Name: "onelogin.status"},
			DeadLetter:        Topic{Name: "onelogin.deadletter"},
			Connectors:        Topic{Name: "onelogin.connectors"},
			Audit:             Topic{Name: "onelogin.audit"},
		},
		Key:            schemas.KeyTenant,
		Value:          ValueVerbatim,
		CommitInterval: 200 * time.Millisecond,
		Compression:    "zstd",
		HTTP:           HTTP{Listen: "127.0.0.1:8080"},
		Log:            Log{Level: "info", Format: "auto"},
	}
}

// DefaultConnector returns a connector before anything is read.
func DefaultConnector() Connector {
	return Connector{
		Type:      TypeOneLogin,
		StartFrom: StartFrom{Ago: 24 * time.Hour},
		Poll:      Poll{Min: 2 * time.Second, Max: 30 * time.Second},
		Sweep:     Sweep{Every: 5 * time.Minute, Window: 15 * time.Minute},
		Verify:    Verify{Every: 24 * time.Hour, Behind: 24 * time.Hour},
		RateLimit: RateLimit{Share: 0.5},
	}
}
