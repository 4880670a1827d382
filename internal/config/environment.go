package config

import "strings"

// The variables that configure one connector when there is no file.
const (
	EnvDomain           = "ONELOGIN_DOMAIN"             // as the key domain
	EnvClientID         = "ONELOGIN_CLIENT_ID"          // as client_id
	EnvClientSecret     = "ONELOGIN_CLIENT_SECRET"      // as client_secret
	EnvClientSecretFile = "ONELOGIN_CLIENT_SECRET_FILE" // as client_secret_file
	EnvBaseURL          = "ONELOGIN_BASE_URL"           // as base_url, optional
	EnvBrokers          = "KAFKA_BROKERS"               // host:port, separated by commas
)

// fromEnvironment fills cfg with the one connector that the environment names.
// It is called as the first part of its domain, e.g. "acme".
func (l *loader) fromEnvironment(cfg *Config) place {
	doc := l.document("environment", "")
	root := place{doc: doc}
	connector := root.sub("connectors").item(0)
	doc.names = map[string]string{
		root.sub("kafka.brokers").path:             EnvBrokers,
		connector.path:                             EnvDomain,
		connector.sub("domain").path:               EnvDomain,
		connector.sub("name").path:                 EnvDomain,
		connector.sub("client_id").path:            EnvClientID,
		connector.sub("client_secret").path:        EnvClientSecret,
		connector.sub("client_secret").twin().path: EnvClientSecretFile,
		connector.sub("base_url").path:             EnvBaseURL,
	}
	c := DefaultConnector()
	for name, target := range map[string]*string{EnvDomain: &c.Domain, EnvClientID: &c.ClientID, EnvBaseURL: &c.BaseURL} {
		*target, _ = l.env(name)
		if unreplaced.MatchString(*target) {
			doc.problems = append(doc.problems, Problem{File: doc.name, Path: name, Message: errReferenceText.Error()})
		}
	}
	domain, _ := normaliseDomain(c.Domain)
	c.Name, _, _ = strings.Cut(domain, ".")

	value, _ := l.env(EnvClientSecret)
	file, _ := l.env(EnvClientSecretFile)
	switch {
	case value != "" && file != "":
		connector.sub("client_secret").problem("%s and %s are both set; keep one", EnvClientSecret, EnvClientSecretFile)
		c.ClientSecret = NewSecretFile(file)
	case value != "":
		secret, err := secretText(value)
		if err != nil {
			connector.sub("client_secret").problem("%v", err)
		}
		c.ClientSecret = NewSecret(secret)
	case file != "":
		c.ClientSecret = NewSecretFile(file)
		doc.elsewhere[connector.sub("client_secret").twin().path] = true
	default:
		connector.sub("client_secret").problem("is missing; set it, or %s", EnvClientSecretFile)
	}
	cfg.Connectors = []Connector{c}

	brokers, _ := l.env(EnvBrokers)
	for broker := range strings.SplitSeq(brokers, ",") {
		if broker = strings.TrimSpace(broker); broker != "" {
			cfg.Kafka.Brokers = append(cfg.Kafka.Brokers, broker)
		}
	}
	for i := range cfg.Kafka.Brokers {
		doc.names[root.sub("kafka.brokers").item(i).path] = EnvBrokers
	}
	return root
}
