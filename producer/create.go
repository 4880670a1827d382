package producer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/createtopics"

	"onelogin-kafka/producer/wire"
	"onelogin-kafka/schemas"
)

// How much of a topic's settings is asked for. Managed services refuse some, or
// values of some, that we work without: they are left out step by step.
const (
	wholly     = iota // all
	untuned           // what keeps records, and their times
	barely            // what makes it the topic it is
	leastAsked = barely
)

// tuning are the settings that only make a topic quicker or safer to work with.
var tuning = []string{"segment.ms", "segment.bytes", "min.cleanable.dirty.ratio", "delete.retention.ms", "max.compaction.lag.ms", "retention.ms", "max.message.bytes", "unclean.leader.election.enable"}

// asked returns the settings of a new topic that are asked for at a step, and
// the names of those that are not.
func (t *Topics) asked(topic schemas.Topic, step int) (settings map[string]string, left []string) {
	settings = t.settings(topic)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if step >= untuned && slices.Contains(tuning, name) || step >= barely && name != "cleanup.policy" {
			delete(settings, name)
			left = append(left, name)
		}
	}
	return settings, left
}

// creation is the creation of some topics.
type creation struct {
	topics  *Topics
	cluster *wire.Cluster
	brokers int
	steps   map[schemas.Topic]int
	// said is why a broker refused the settings that are no longer asked for.
	said     map[schemas.Topic]string
	problems []string
	// there are topics that somebody has made since they were missed.
	there []schemas.Topic
}

// create creates the missing topics, or with validate only asks if that could be
// done. problems are what an operator must mend, in the brokers' own words.
func (t *Topics) create(ctx context.Context, cluster *wire.Cluster, missing []schemas.Topic, f *Found, validate bool) (problems []string, err error) {
	c := &creation{topics: t, cluster: cluster, steps: map[schemas.Topic]int{}, said: map[schemas.Topic]string{}}
	for _, topic := range missing {
		c.steps[topic] = wholly
	}
	// Asked first, so that topics are made all or not at all.
	rounds := []bool{true, false}
	if validate {
		rounds = rounds[:1]
	}
	for _, only := range rounds {
		for again := missing; len(again) > 0 && len(c.problems) == 0; {
			if again, err = c.request(ctx, again, only); err != nil {
				return nil, err
			}
		}
	}
	for _, topic := range missing {
		if said := c.said[topic]; said != "" {
			_, left := t.asked(topic, c.steps[topic])
			f.warn("topic %s is created without %s, as the brokers refuse them%s", t.Specs[topic].Name, strings.Join(left, ", "), said)
		}
	}
	t.anew(slices.DeleteFunc(slices.Clone(missing), func(topic schemas.Topic) bool { return slices.Contains(c.there, topic) }), f)
	return c.problems, nil
}

// anew warns where one of the two topics that are written together is made, and the other is not: it was there once, as far as one can
// tell. Of a topic that somebody has created again nothing tells any more.
func (t *Topics) anew(made []schemas.Topic, f *Found) {
	events, offsets := t.Specs[schemas.Events].Name, t.Specs[schemas.Offsets].Name
	switch gone := slices.Contains(made, schemas.Offsets); {
	case gone == slices.Contains(made, schemas.Events):
	case gone:
		f.warn("topic %s is made anew, and topic %s is there: if that has events, the positions behind them are lost, and what connectors read from start_from on "+
			"is published once more; before they do, put the positions back with onelogin-kafka offsets import", offsets, events)
	default:
		f.warn("topic %s is made anew, and topic %s is there: if that has positions, the events before them are lost, and not published again by themselves; "+
			"publish them with onelogin-kafka backfill", events, offsets)
	}
}

// request asks for topics and returns those to ask for again, with less.
func (c *creation) request(ctx context.Context, topics []schemas.Topic, validate bool) (again []schemas.Topic, err error) {
	m, err := c.cluster.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	c.brokers = len(m.Brokers)
	req := &createtopics.Request{TimeoutMs: 10_000, ValidateOnly: validate}
	for _, topic := range topics {
		rt := createtopics.RequestTopic{Name: c.topics.Specs[topic].Name, NumPartitions: c.topics.Specs[topic].Partitions, ReplicationFactor: c.topics.ReplicationFactor}
		settings, _ := c.topics.asked(topic, c.steps[topic])
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			rt.Configs = append(rt.Configs, createtopics.RequestConfig{Name: name, Value: settings[name]})
		}
		req.Topics = append(req.Topics, rt)
	}
	res, err := c.cluster.Exchange(ctx, m.ControllerID, req)
	if err != nil {
		return nil, fmt.Errorf("creating topics: %w", err)
	}
	for i := range res.(*createtopics.Response).Topics {
		r := &res.(*createtopics.Response).Topics[i]
		at := slices.IndexFunc(topics, func(t schemas.Topic) bool { return c.topics.Specs[t].Name == r.Name })
		if at < 0 {
			continue
		}
		more, err := c.answered(topics[at], r)
		if err != nil {
			return nil, err
		}
		if more {
			again = append(again, topics[at])
		}
	}
	return again, nil
}

// codeThrottlingQuota is not among kafka-go's errors.
const codeThrottlingQuota = 89

// answered judges the answer for one topic; again tells that it is to be asked
// for with less. The error may pass.
func (c *creation) answered(topic schemas.Topic, r *createtopics.ResponseTopic) (again bool, err error) {
	said := ""
	if r.ErrorMessage != "" {
		said = fmt.Sprintf(" (the broker says: %.300q)", r.ErrorMessage)
	}
	problem := func(format string, args ...any) {
		c.problems = append(c.problems, fmt.Sprintf("creating topic %s: ", r.Name)+fmt.Sprintf(format, args...)+said)
	}
	switch code := kafka.Error(r.ErrorCode); code {
	case codeNone:
	case kafka.TopicAlreadyExists: // several instances may start at once, and a broker may not know yet
		c.there = append(c.there, topic)
	case kafka.InvalidConfiguration, kafka.PolicyViolation:
		if c.steps[topic] < leastAsked {
			c.steps[topic]++
			c.said[topic] = said
			return true, nil
		}
		problem("%s; create it with settings that they take: %s", code.Title(), c.topics.createCommand(topic))
	case kafka.InvalidReplicationFactor:
		problem("replication factor %d, but %d brokers; set topics.replication_factor", c.topics.ReplicationFactor, c.brokers)
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed:
		problem("it is not allowed to us; create it with: %s", c.topics.createCommand(topic))
	case kafka.InvalidPartitionNumber, kafka.InvalidTopic, kafka.InvalidRequest, kafka.UnsupportedVersion, kafka.InvalidReplicaAssignment:
		problem("%s; create it with: %s", code.Title(), c.topics.createCommand(topic))
	case codeThrottlingQuota:
		return false, fmt.Errorf("creating topic %s: the brokers bound how often that may be asked%s", r.Name, said)
	default:
		return false, fmt.Errorf("creating topic %s: %w%s", r.Name, code, said)
	}
	return false, nil
}

// await waits until every broker that answers knows the new topics.
func (t *Topics) await(ctx context.Context, cluster *wire.Cluster, f *Found) error {
	wait := newBackoff(20*time.Millisecond, 500*time.Millisecond)
	for {
		missing, err := t.look(ctx, cluster, f)
		if err != nil || len(missing) == 0 {
			return err
		}
		if err := pause(ctx, wait.NextBackOff()); err != nil {
			return fmt.Errorf("waiting for topic %s: %w", t.Specs[missing[0]].Name, err)
		}
	}
}

func (t *Topics) createCommand(topic schemas.Topic) string {
	s := t.Specs[topic]
	cmd := fmt.Sprintf("kafka-topics.sh --bootstrap-server … --create --topic %s --partitions %d --replication-factor %d", s.Name, s.Partitions, t.ReplicationFactor)
	settings := t.settings(topic)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		cmd += " --config " + name + "=" + settings[name]
	}
	return cmd
}
