package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"onelogin-kafka/internal/registry/seal"
	"onelogin-kafka/schemas"
)

// kafkaName is what Kafka takes as the name of a topic or a group instance; we
// hold the group to it as well, since it is part of transactional ids.
var kafkaName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// within tells whether a value is in its range, and reports one that is not.
func within[T cmp.Ordered](at place, value, least, most T, bounds string) bool {
	ok := value >= least && value <= most // false for NaN
	if !ok {
		at.problem("%s is out of range; use %s", at.quote(value), bounds)
	}
	return ok
}

// oneOf reports a value that is none of those known.
func oneOf(at place, value string, known ...string) {
	if !slices.Contains(known, value) {
		at.problem("%s is not one of %s", at.quote(value), strings.Join(known, ", "))
	}
}

// nameForKafka reports what Kafka would not take as a name.
func nameForKafka(at place, value string) {
	if !kafkaName.MatchString(value) || value == "." || value == ".." {
		at.problem("%s is no name that Kafka takes; use 1 to 249 of a-z, A-Z, 0-9, dot, dash and underscore", at.quote(value))
	}
}

func (l *loader) validate(cfg *Config, root place) {
	l.kafka(&cfg.Kafka, root.sub("kafka"))
	nameForKafka(root.sub("group"), cfg.Group)
	nameForKafka(root.sub("instance"), cfg.Instance)
	topics(&cfg.Topics, root.sub("topics"))
	oneOf(root.sub("value"), cfg.Value, ValueVerbatim, ValueCompact)
	within(root.sub("commit_interval"), cfg.CommitInterval, 0, 10*time.Second, "0 to 10s")
	oneOf(root.sub("compression"), cfg.Compression, "none", "gzip", "snappy", "lz4", "zstd")
	if memory := root.sub("memory"); cfg.Memory != 0 {
		within(memory, cfg.Memory, 64<<20, 1<<40, "auto, or 64MiB to 1024GiB")
	}
	l.http(&cfg.HTTP, root.sub("http"))
	l.keys(cfg.Secrets.Keys, root.sub("secrets.keys"))
	l.proxies(&cfg.Proxy, root.sub("proxy"))
	l.authorities(cfg, root.sub("ca_file"))
	oneOf(root.sub("log.level"), cfg.Log.Level, "trace", "debug", "info", "warn", "error")
	oneOf(root.sub("log.format"), cfg.Log.Format, "auto", "console", "json")
}

func (l *loader) kafka(k *Kafka, at place) {
	brokers := at.sub("brokers")
	switch {
	case k.Embedded != "" && len(k.Brokers) > 0:
		at.sub("embedded").problem("brokers and embedded are both given; keep one")
	case k.Embedded != "" && (k.TLS != nil || k.SASL != nil):
		at.sub("embedded").problem("the embedded broker has neither tls nor sasl; remove them")
	case k.Embedded == "" && len(k.Brokers) == 0 && !at.reported() && !brokers.reported() && !brokers.item(0).reported():
		brokers.problem("there is none; name at least one, e.g. localhost:9092")
	}
	for i, broker := range k.Brokers {
		if host, ok := splitHostPort(broker, 1); !ok || host == "" {
			here := brokers.item(i)
			here.problem("%s is no broker; write it as host:port, e.g. localhost:9092", here.quote(broker))
		}
	}
	if k.TLS != nil {
		l.clientTLS(k.TLS, at.sub("tls"))
	}
	if k.SASL != nil {
		l.sasl(k.SASL, k.TLS != nil, at)
	}
	for key, d := range map[string]time.Duration{
		"connect": k.Timeouts.Connect, "handshake": k.Timeouts.Handshake, "login": k.Timeouts.Login, "request": k.Timeouts.Request,
	} {
		within(at.sub("timeouts").sub(key), d, 100*time.Millisecond, 5*time.Minute, "100ms to 5m")
	}
}

func (l *loader) clientTLS(t *TLS, at place) {
	if t.CAFile != "" {
		content, err := l.read(t.CAFile, maxFile)
		if err != nil {
			at.sub("ca_file").problem("%s", reason(t.CAFile, err))
		} else if !x509.NewCertPool().AppendCertsFromPEM(content) {
			at.sub("ca_file").problem("%s holds no certificate; use a file in PEM form", t.CAFile)
		}
	}
	if t.CertFile != "" || t.KeyFile != "" {
		l.keyPair(t.CertFile, t.KeyFile, at)
	}
}

// keyPair reports a certificate and a key that are not there, or no pair.
func (l *loader) keyPair(certFile, keyFile string, at place) {
	if certFile == "" || keyFile == "" {
		at.problem("cert_file and key_file are not both given; give both")
		return
	}
	cert, err := l.read(certFile, maxFile)
	if err != nil {
		at.sub("cert_file").problem("%s", reason(certFile, err))
	}
	key, keyErr := l.read(keyFile, maxFile)
	if keyErr != nil {
		at.sub("key_file").problem("%s", reason(keyFile, keyErr))
	}
	if err != nil || keyErr != nil {
		return
	}
	if encryptedKey(key) {
		at.sub("key_file").problem("%s is encrypted, and nobody is there to type its password; decrypt it: openssl pkey -in … -out …", keyFile)
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		// The cause can quote the file, and a key can be in the wrong one.
		at.problem("%s and %s are no pair of a certificate and its key in PEM form; use the two that belong together", certFile, keyFile)
	}
}

func (l *loader) sasl(s *SASL, overTLS bool, kafka place) {
	at, tls := kafka.sub("sasl"), kafka.sub("tls").name()
	mechanism := at.sub("mechanism")
	oneOf(mechanism, s.Mechanism, MechanismPlain, MechanismScramSHA256, MechanismScramSHA512, MechanismOAuthBearer)
	if s.Mechanism == MechanismPlain && !overTLS {
		mechanism.problem("PLAIN sends the password in the clear; add %s or use SCRAM-SHA-512", tls)
	}
	if s.Mechanism == MechanismOAuthBearer {
		if !overTLS {
			mechanism.problem("OAUTHBEARER sends the token in the clear; add %s", tls)
		}
		l.oauth(s, at)
		return
	}
	for _, key := range []string{"token", "token_file", "token_url", "client_id", "client_secret", "client_secret_file", "scope", "audience", "token_parameters", "extensions"} {
		if at.sub(key).given() {
			at.sub(key).problem("is for OAUTHBEARER only; remove it or set mechanism: OAUTHBEARER")
		}
	}
	if name := at.sub("username"); s.Username == "" {
		name.problem("is missing; give the name to log in with")
	} else if err := firstOdd(s.Username, oddKind); err != nil {
		name.problem("%v", err)
	}
	l.secret(s.Password, true, at.sub("password"))
}

// oauth validates what OAUTHBEARER needs: a token, or where to get one.
func (l *loader) oauth(s *SASL, at place) {
	for _, key := range []string{"username", "password", "password_file"} {
		if at.sub(key).given() {
			at.sub(key).problem("is for PLAIN and SCRAM only; remove it: with OAUTHBEARER the token says who we are")
		}
	}
	extensions(s.Extensions, at.sub("extensions"))
	token, endpoint := at.sub("token"), at.sub("token_url")
	switch {
	case s.Token.IsSet() && s.TokenURL != "":
		endpoint.problem("a token and token_url are both given; keep one")
	case s.TokenURL != "":
		l.tokenEndpoint(s, at)
	case s.Token.IsSet():
		l.secret(s.Token, true, token)
		l.fits(s.Token, token, bearerKind, "; a bearer token has letters, digits and -._~+/= only")
		for _, key := range []string{"client_id", "client_secret", "client_secret_file", "scope", "audience", "token_parameters"} {
			if at.sub(key).given() {
				at.sub(key).problem("goes with token_url only; remove it, or give token_url instead of a token")
			}
		}
	case !token.reported() && !endpoint.reported():
		token.problem("is missing; give token_file, or token_url with client_id and client_secret_file")
	}
}

func (l *loader) tokenEndpoint(s *SASL, at place) {
	if err := checkTokenURL(s.TokenURL); err != nil {
		at.sub("token_url").problem("%v", err)
	}
	if id := at.sub("client_id"); s.ClientID == "" && !id.reported() {
		id.problem("is missing; give the client id that the token endpoint knows us by")
	}
	l.secret(s.ClientSecret, true, at.sub("client_secret"))
	parameters(s, at)
	if scope := at.sub("scope"); !scopeText.MatchString(s.Scope) {
		scope.problem("%s is no scope; write words with one space between them", scope.quote(s.Scope))
	}
}

// extensions reports what cannot be sent to the brokers with a token (RFC 7628,
// section 3.1).
func extensions(table map[string]string, at place) {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		switch here := at.sub(key); {
		case key == "auth":
			here.problem("is the token's own; remove it")
		case !extensionKey.MatchString(key):
			here.problem("is no name of an extension; use letters only, e.g. logicalCluster")
		case !printable.MatchString(table[key]):
			here.problem("has a value that cannot be sent; use 1 to 1,000 printable ASCII characters")
		}
	}
}

// parameters reports what cannot be sent with the request for a token.
func parameters(s *SASL, at place) {
	if audience := at.sub("audience"); s.Audience != "" && !printable.MatchString(s.Audience) {
		audience.problem("%s is no audience; use 1 to 1,000 printable ASCII characters", audience.quote(s.Audience))
	}
	for _, key := range slices.Sorted(maps.Keys(s.TokenParameters)) {
		switch here := at.sub("token_parameters").sub(key); {
		case slices.Contains([]string{"grant_type", "scope", "audience", "client_id", "client_secret"}, key):
			here.problem("has a key of its own, or is sent in another way; remove it here")
		case !printable.MatchString(s.TokenParameters[key]):
			here.problem("has a value that cannot be sent; use 1 to 1,000 printable ASCII characters")
		}
	}
}

var (
	extensionKey = regexp.MustCompile(`^[A-Za-z]{1,64}$`)
	printable    = regexp.MustCompile(`^[ -~]{1,1000}$`)
)

// scopeText is a scope of RFC 6749, section 3.3, or nothing.
var scopeText = regexp.MustCompile(`^([!#-\[\]-~]+( [!#-\[\]-~]+)*)?$`)

// secret reports a secret that is missing or whose file cannot be read.
func (l *loader) secret(s Secret, needed bool, at place) {
	if !s.IsSet() {
		if needed && !at.reported() {
			if key := at.called(); at.doc.names == nil {
				at.problem("is missing; give %s_file, or %s: env:NAME", key, key)
			} else {
				at.problem("is missing; set it, or %s", at.twin().called())
			}
		}
		return
	}
	if s.File() == "" {
		return
	}
	content, err := l.read(s.File(), maxSecretFile)
	if err != nil {
		at.twin().problem("%s", reason(s.File(), err))
	} else if _, err := secretText(string(content)); errors.Is(err, errEmptySecret) {
		at.twin().problem("%s is empty; write the secret into it", s.File())
	} else if err != nil {
		at.twin().problem("%s %v", s.File(), err)
	}
}

// fits reports a secret, read without a problem, that has a character which kind
// gives a name to.
func (l *loader) fits(s Secret, at place, kind func(r rune, size int) string, advice string) {
	if !s.IsSet() || at.reported() {
		return
	}
	text, err := s.Reveal()
	if err != nil {
		return
	}
	if s.File() != "" {
		at = at.twin()
	}
	if err := firstOdd(text, kind); err != nil {
		at.problem("%v%s", err, advice)
	}
}

func topics(t *Topics, at place) {
	within(at.sub("replication_factor"), t.ReplicationFactor, 1, 32767, "1 to 32767")
	within(at.sub("events.partitions"), t.Events.Partitions, 1, 10_000, "1 to 10000")
	within(at.sub("offsets.partitions"), t.Offsets.Partitions, 1, 1000, "1 to 1000")
	used := make(map[string]schemas.Topic)
	for i, topic := range t.Names() {
		purpose := schemas.Topic(i)
		here := at.sub(purpose.String()).sub("name")
		nameForKafka(here, topic)
		// Kafka refuses names that differ in dot and underscore only, since
		// they are the same in its metrics.
		same := strings.ReplaceAll(topic, ".", "_")
		if other, ok := used[same]; ok {
			here.problem("%s is also the %s topic's name (dot and underscore count as the same); use another", here.quote(topic), other)
		}
		used[same] = purpose
	}
}

func (l *loader) http(h *HTTP, at place) {
	host, ok := splitHostPort(h.Listen, 0)
	listen := at.sub("listen")
	if !ok {
		listen.problem("%s is no address; write it as host:port, e.g. 127.0.0.1:8080", listen.quote(h.Listen))
	}
	if h.TLS != nil {
		l.keyPair(h.TLS.CertFile, h.TLS.KeyFile, at.sub("tls"))
	}
	if ok && !isLoopback(host) && (h.TLS == nil || !h.Token.IsSet()) {
		listen.problem("%s can be reached from other hosts; add %s and %s, or listen on 127.0.0.1", listen.quote(h.Listen), at.sub("tls").name(), at.sub("token").twin().name())
	}
	hosts := at.sub("hosts")
	for i, name := range h.Hosts {
		if here := hosts.item(i); !hostName.MatchString(strings.ToLower(name)) {
			here.problem("%s is no name of a host; write it without scheme and port, e.g. console.example.com", here.quote(name))
		}
	}
	if h.URL != "" {
		origin, err := normaliseOrigin(h.URL)
		if err != nil {
			at.sub("url").problem("%v", err)
		}
		h.URL = origin
	}
	l.secret(h.Token, false, at.sub("token"))
	l.secret(h.ViewerToken, false, at.sub("viewer_token"))
	if h.ViewerToken.IsSet() && !h.Token.IsSet() {
		at.sub("viewer_token").problem("is given without a token, so that nobody could change anything; add http.token_file")
	}
}

// keys reports what is no private key, or is one a second time.
func (l *loader) keys(keys []SecretKey, at place) {
	seen, active := map[string]bool{}, 0
	for i, k := range keys {
		here := at.item(i).sub("private_key")
		l.secret(k.PrivateKey, true, here)
		if k.Active {
			active++
		}
		if here.reported() {
			continue
		}
		text, err := k.PrivateKey.Reveal()
		if err != nil {
			continue // reported, or gone since
		}
		if k.PrivateKey.File() != "" {
			here = here.twin()
		}
		key, err := seal.ParsePrivateKey(text)
		switch {
		case err != nil:
			here.problem("%v; make one with onelogin-kafka secrets keygen", err)
		case seen[key.Public().ID()]:
			here.problem("is key %s a second time; remove one", key.Public().ID())
		default:
			seen[key.Public().ID()] = true
		}
	}
	if active > 1 {
		at.problem("%d keys are active; new secrets are sealed with one, so leave active: true with one", active)
	}
}

// connector validates one connector and makes its addresses normal.
func (l *loader) connector(c *Connector, at place) {
	c.Source = at.doc.name
	if line := at.line(); line > 0 {
		c.Source += ":" + strconv.Itoa(line)
	}
	addresses(c, at)
	connectorName(c, at.sub("name"))
	oneOf(at.sub("type"), c.Type, TypeOneLogin)
	if c.ClientID == "" && !at.sub("client_id").reported() {
		at.sub("client_id").problem("is missing; give the client id of the account's API credential")
	}
	l.credential(c, at)
	c.content = l.contents[c.ClientSecret.File()]
	l.proxy(&c.Proxy, at.sub("proxy"))
	c.Proxy = c.Proxy.Or(l.way)
	pace(c, at)
	startFrom(c, at.sub("start_from"))
	within(at.sub("rate_limit.share"), c.RateLimit.Share, 1e-9, 1, "a number above 0, up to 1")
	if size := at.sub("page_size"); c.PageSize != 0 || size.given() && !size.reported() {
		within(size, c.PageSize, 1, 1000, "auto, or 1 to 1000")
	}
}

// credential reports what cannot travel in OneLogin's Authorization header,
// "client_id:<id>, client_secret:<secret>". It quotes neither: they are easily
// mistaken for each other.
func (l *loader) credential(c *Connector, at place) {
	const advice = ", which no OneLogin credential has; copy it again from OneLogin"
	id, secret := at.sub("client_id"), at.sub("client_secret")
	if err := firstOdd(c.ClientID, credentialKind); err != nil && !id.reported() {
		id.problem("%v%s", err, advice)
	}
	l.secret(c.ClientSecret, true, secret)
	l.fits(c.ClientSecret, secret, credentialKind, advice)
}

func pace(c *Connector, at place) {
	poll, sweep := at.sub("poll"), at.sub("sweep")
	least := within(poll.sub("min"), c.Poll.Min, 10*time.Millisecond, time.Hour, "10ms to 1h")
	most := within(poll.sub("max"), c.Poll.Max, 10*time.Millisecond, time.Hour, "10ms to 1h")
	if least && most && c.Poll.Min > c.Poll.Max {
		poll.problem("min %v is longer than max %v; make max the longer one", c.Poll.Min, c.Poll.Max)
	}
	every := within(sweep.sub("every"), c.Sweep.Every, time.Second, 24*time.Hour, "1s to 24h")
	window := within(sweep.sub("window"), c.Sweep.Window, time.Minute, 24*time.Hour, "1m to 24h")
	if every && window && c.Sweep.Every > c.Sweep.Window {
		sweep.problem("every %v is longer than window %v, so that some events are never read again; make window the longer one",
			c.Sweep.Every, c.Sweep.Window)
	}
	verify := at.sub("verify")
	if c.Verify.Every != 0 {
		within(verify.sub("every"), c.Verify.Every, time.Hour, 720*time.Hour, "1h to 720h, or 0s for never")
	}
	within(verify.sub("behind"), c.Verify.Behind, time.Hour, 720*time.Hour, "1h to 720h")
}

func connectorName(c *Connector, at place) {
	if c.Name == "" {
		if !at.reported() {
			at.problem("is missing; give the connector a name, e.g. acme")
		}
		return
	}
	if !schemas.ValidConnector(c.Name) {
		at.problem("%s is no connector's name; use 1 to 63 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit", at.quote(c.Name))
	}
}

func addresses(c *Connector, at place) {
	here := at.sub("base_url")
	if c.BaseURL != "" {
		base, err := normaliseBaseURL(c.BaseURL)
		if err != nil {
			here.problem("%v", err)
		}
		c.BaseURL = base
	}
	here = at.sub("domain")
	if c.Domain == "" {
		if !here.reported() {
			here.problem("is missing; give the account's domain, e.g. acme.onelogin.com")
		}
		return
	}
	domain, err := normaliseDomain(c.Domain)
	if err == nil && c.BaseURL == "" && !strings.HasSuffix(domain, oneloginDomain) {
		err = errors.New("does not end in .onelogin.com; correct it, or give base_url for a proxy")
	}
	if err != nil {
		here.problem("%s %v", here.quote(c.Domain), err)
	}
	c.Domain = domain
}
