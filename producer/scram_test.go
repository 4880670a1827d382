package producer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"onelogin-kafka/internal/proof/kafkatest"
	"onelogin-kafka/producer/wire"
)

// ugly are passwords that are easily shown by mistake.
var ugly = map[string]string{
	"tab": secretWord + "\t" + secretWord, "line break": secretWord + "\n" + secretWord, "NUL": secretWord + "\x00" + secretWord,
	"no UTF-8": secretWord + "\xff" + secretWord, "percent": secretWord + "%s%d%!v" + secretWord, "quotes": `"'` + secretWord,
	"long": strings.Repeat(secretWord, 1000), "both directions": secretWord + "\u05d0", "not normal": secretWord + "①\u00a0", "empty": "",
}

// login tries a user's password on a broker.
func login(t *testing.T, broker, mechanism, user, password string) error {
	t.Helper()
	s := &Security{Mechanism: mechanism, Username: user, Password: func() (string, error) { return password, nil }}
	cluster := wire.Open(secure(s, []string{broker}))
	defer cluster.Close()
	_, err := cluster.Metadata(patient(t))
	return err
}

// TestScram: a password is its UTF-8, whatever it holds, as for Kafka's own
// clients and tools; and what goes wrong with it shows nothing of it.
func TestScram(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{MechanismScramSHA256, MechanismScramSHA512} {
		options := []kfake.Opt{kfake.NumBrokers(1), kfake.EnableSASL()}
		for name, password := range ugly {
			options = append(options, kfake.Superuser(mechanism, name, password))
		}
		k, err := kfake.NewCluster(options...)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		for name, password := range ugly {
			if err := login(t, k.ListenAddrs()[0], mechanism, name, password); err != nil {
				t.Errorf("%s, %s: %v", mechanism, name, err)
			}
			err := login(t, k.ListenAddrs()[0], mechanism, name, password+secretWord)
			if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secretWord) {
				t.Errorf("%s, %s, with another: got %v", mechanism, name, err)
			}
		}
	}
}

// What a broker answers is not repeated, and none is trusted that does not know
// the password.
func TestScramAnswers(t *testing.T) {
	t.Parallel()
	const salt = "c2FsdA=="
	for name, tt := range map[string]struct {
		first, second string // "" = the last answer is not given
		want          error
	}{
		"no SCRAM":            {secretWord, "", errScramAnswer},
		"another's nonce":     {"r=" + secretWord + ",s=" + salt + ",i=4096", "", errScramAnswer},
		"few iterations":      {"r=NONCEx,s=" + salt + ",i=1", "", errScramAnswer},
		"no number":           {"r=NONCEx,s=" + salt + ",i=" + secretWord, "", errScramAnswer},
		"extensions":          {"m=" + secretWord + ",r=NONCEx,s=" + salt + ",i=4096", "", errScramAnswer},
		"an error of its own": {"r=NONCEx,s=" + salt + ",i=4096", "e=" + secretWord, errScramProof},
		"no proof":            {"r=NONCEx,s=" + salt + ",i=4096", "v=" + salt, errScramProof},
		"nothing":             {"r=NONCEx,s=" + salt + ",i=4096", secretWord, errScramProof},
	} {
		s := &Security{Mechanism: MechanismScramSHA256, Username: "user", Password: func() (string, error) { return secretWord, nil }}
		m, err := s.SASL()
		if err != nil {
			t.Fatal(err)
		}
		state, hello, err := m.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := strings.Cut(string(hello), ",r=")
		done, _, err := state.Next(t.Context(), []byte(strings.ReplaceAll(tt.first, "NONCE", nonce)))
		if err == nil && !done {
			done, _, err = state.Next(t.Context(), []byte(tt.second))
		}
		if !errors.Is(err, tt.want) || done || strings.Contains(err.Error(), secretWord) {
			t.Errorf("%s: got %v, %v, want %v", name, done, err, tt.want)
		}
	}
}

// TestScramOnKafka: a user made as Kafka's own tools make one, with a password
// that SASLprep would refuse or change, can log in.
func TestScramOnKafka(t *testing.T) {
	t.Parallel()
	k := kafkatest.Shared(t, guarded)
	c, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for mechanism, scram := range map[string]kadm.ScramMechanism{MechanismScramSHA256: kadm.ScramSha256, MechanismScramSHA512: kadm.ScramSha512} {
		const password = "①\u05d0x\u00a0%s\"'密"
		user := named(t, strings.ToLower(mechanism))
		res, err := kadm.NewClient(c).AlterUserSCRAMs(patient(t), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: scram, Iterations: 4096, Password: password}})
		if err != nil || res.Error() != nil {
			t.Fatal(err, res.Error())
		}
		s := &Security{UseTLS: true, CAFile: k.CAFile(), Mechanism: mechanism, Username: user, Password: func() (string, error) { return password, nil }}
		cluster := wire.Open(secure(s, k.BrokersSASL()))
		defer cluster.Close()
		// A new user is not known to the broker at once.
		waitFor(t, mechanism+" to be let in", func() bool { _, err := cluster.Metadata(patient(t)); return err == nil })
	}
}
