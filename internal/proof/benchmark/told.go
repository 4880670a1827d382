package benchmark

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// Some figures are told by tests and benchmarks of the producer, which start
// brokers of their own: what they do to those is theirs, and it is judged there.

// producerTests runs tests and benchmarks of the producer, and returns what they say.
func (b *bench) producerTests(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"test", "-count=1", "-v"}, append(args, "onelogin-kafka/producer")...)
	b.say("go %v", args)
	said, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running the producer's tests: %w\n%s", err, said)
	}
	return string(said), nil
}

// told finds a number in what a test said; each match of the pattern's group is one.
func told(said, pattern string) (values []float64, err error) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(said, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, fmt.Errorf("reading what a test told: %w", err)
		}
		values = append(values, v)
	}
	if len(values) == 0 {
		return nil, errors.New("a test has not told its figure:\n" + said)
	}
	return values, nil
}

// attribute is the pattern of what a test tells by testing.TB.Attr.
func attribute(test, key string) string {
	return `(?m)^=== ATTR +` + test + ` ` + key + ` ([0-9.]+)$`
}

// start10000 measures an instance's start, as far as it waits for Kafka.
func start10000(ctx context.Context, b *bench) ([]Result, error) {
	said, err := b.producerTests(ctx, "-run", "^$", "-bench", "^BenchmarkPositionsOfTenThousand$", "-benchtime", "3x")
	if err != nil {
		return nil, err
	}
	const operation = `(?m)^BenchmarkPositionsOfTenThousand/%s\S*\s+\d+\s+([0-9.]+) ns/op`
	read, err := told(said, fmt.Sprintf(operation, "at_the_start"))
	if err != nil {
		return nil, err
	}
	doubt, err := told(said, fmt.Sprintf(operation, "after_a_doubt_of_one_shard"))
	if err != nil {
		return nil, err
	}
	records, err := told(said, `([0-9.]+) records/op`)
	if err != nil {
		return nil, err
	}
	r := Result{Name: "start", Title: "Start: positions of 10,000 connectors with an event a minute, by `BenchmarkPositionsOfTenThousand`"}
	r.add("all read", read[0]/1e9, "s", "≤ 3", read[0] <= 3e9)
	r.note("records that are read for it", records[0], "")
	r.add("read again after a doubt of one shard", doubt[0]/1e6, "ms", "< 100", doubt[0] < 100e6)
	return []Result{r}, nil
}

func restart(ctx context.Context, b *bench) ([]Result, error) {
	const test = "TestABrokerComesBack"
	rounds := orDefault(b.rounds, 3)
	said, err := b.producerTests(ctx, "-run", "^"+test+"$", "-count="+strconv.Itoa(rounds))
	if err != nil {
		return nil, err
	}
	anew, err := told(said, attribute(test, "taken-over-anew"))
	if err != nil {
		return nil, err
	}
	r := Result{Name: "restart", Title: fmt.Sprintf("A broker's clean restart and the election after it, 32 shards, %d times, by `%s`", len(anew), test)}
	r.worst("shards taken over anew, most", anew, "", 2)
	return []Result{r}, nil
}

func cutOff(ctx context.Context, b *bench) ([]Result, error) {
	const test = "TestABrokerCutOffFromItsPeers"
	rounds := orDefault(b.rounds, 3)
	said, err := b.producerTests(ctx, "-run", "^"+test+"$", "-count="+strconv.Itoa(rounds))
	if err != nil {
		return nil, err
	}
	gaps, err := told(said, attribute(test, "longest-gap-seconds"))
	if err != nil {
		return nil, err
	}
	r := Result{Name: "cutoff", Title: fmt.Sprintf("One of three brokers cut off from its peers, but answering, 12 shards, %d times, by `%s`", len(gaps), test)}
	r.worst("longest time of a shard without a commit", gaps, "s", 15)
	return []Result{r}, nil
}
