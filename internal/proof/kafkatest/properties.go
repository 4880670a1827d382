package kafkatest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const log4jProperties = `rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c{1})%n
`

// properties is one node's configuration. Values of Extra come last: in a Java properties file the last one wins.
func (c *Cluster) properties(n *Node) string {
	rf, isr := min(len(c.nodes), 3), c.inSync()
	var voters, listen, advertised []string
	for _, other := range c.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s", other.ID, local(other.voterPort())))
	}
	protocols := []string{"CONTROLLER:PLAINTEXT"}
	add := func(name, protocol string, port, seen int) {
		listen = append(listen, name+"://"+local(port))
		advertised = append(advertised, name+"://"+local(seen))
		protocols = append(protocols, name+":"+protocol)
	}
	plain := n.plainPort()
	add("PLAINTEXT", "PLAINTEXT", plain, plain)
	add("PROXIED", "PLAINTEXT", n.behind, n.proxied)
	if c.opts.TLS {
		add("TLS", "SSL", n.tls, n.tls)
		add("SASL", "SASL_SSL", n.sasl, n.sasl)
	}
	peers := "PLAINTEXT"
	if c.opts.Divisible {
		peers = "PEERS"
		add(peers, "PLAINTEXT", n.peersBehind, n.peers)
		advertised = append(advertised, "CONTROLLER://"+local(n.voter))
	}
	listen = append(listen, "CONTROLLER://"+local(n.controller))

	var b strings.Builder
	set := func(key string, value any) { fmt.Fprintf(&b, "%s=%v\n", key, value) }
	set("process.roles", "broker,controller")
	set("node.id", n.ID)
	set("listeners", strings.Join(listen, ","))
	set("advertised.listeners", strings.Join(advertised, ","))
	set("listener.security.protocol.map", strings.Join(protocols, ","))
	set("controller.listener.names", "CONTROLLER")
	set("inter.broker.listener.name", peers)
	set("controller.quorum.voters", strings.Join(voters, ","))
	set("log.dirs", n.data())
	set("auto.create.topics.enable", false)
	set("default.replication.factor", rf)
	set("min.insync.replicas", isr)
	for _, topic := range []string{"offsets.topic", "transaction.state.log", "share.coordinator.state.topic"} {
		set(topic+".replication.factor", rf)
	}
	set("transaction.state.log.min.isr", isr)
	set("share.coordinator.state.topic.min.isr", isr)
	set("offsets.topic.num.partitions", 3)
	set("transaction.state.log.num.partitions", 3)
	// What a production cluster does within seconds to minutes, a test wants to see at once.
	set("group.initial.rebalance.delay.ms", 0)
	set("transaction.abort.timed.out.transaction.cleanup.interval.ms", 500)
	set("log.cleaner.backoff.ms", 200)
	set("log.cleaner.dedupe.buffer.size", 16<<20)
	set("broker.session.timeout.ms", 6000)
	if c.opts.TLS {
		c.security(set)
	}
	for _, key := range slices.Sorted(maps.Keys(c.opts.Extra)) {
		set(key, c.opts.Extra[key])
	}
	return b.String()
}

// inSync is how many replicas must be in sync before anything can be written.
func (c *Cluster) inSync() int {
	if len(c.nodes) >= 3 {
		return 2
	}
	return 1
}

// security is the configuration of the listeners TLS and SASL.
func (c *Cluster) security(set func(string, any)) {
	for _, l := range []string{"listener.name.tls.", "listener.name.sasl."} {
		set(l+"ssl.keystore.type", "PEM")
		set(l+"ssl.keystore.location", c.path("broker.pem"))
		set(l+"ssl.truststore.type", "PEM")
		set(l+"ssl.truststore.location", c.path("ca.pem"))
	}
	set("listener.name.tls.ssl.client.auth", "requested")
	set("listener.name.sasl.ssl.client.auth", "none")
	set("listener.name.sasl.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER")
	// Without a validator of its own the broker takes unsigned tokens (JWS with "alg":"none"), of anyone: the sub claim is the user.
	set("listener.name.sasl.oauthbearer.sasl.jaas.config", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;")
	plain := "org.apache.kafka.common.security.plain.PlainLoginModule required"
	for _, user := range slices.Sorted(maps.Keys(c.opts.Users)) {
		plain += fmt.Sprintf(" user_%s=%q", user, c.opts.Users[user])
	}
	set("listener.name.sasl.plain.sasl.jaas.config", plain+";")
	for _, mechanism := range []string{"scram-sha-256", "scram-sha-512"} {
		set("listener.name.sasl."+mechanism+".sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required;")
	}
}

// scram is what StorageTool needs to create the users before the first start.
func (c *Cluster) scram() []string {
	var args []string
	for _, user := range slices.Sorted(maps.Keys(c.opts.Users)) {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, c.opts.Users[user]))
		}
	}
	return args
}
