package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/internal/service"
	"onelogin-kafka/producer"
	"onelogin-kafka/producer/embedded"
	"onelogin-kafka/schemas"
)

// TestSetAsideShowsNoSecret has a connector file for every ugly form of a secret
// and every way of writing it, and looks for the secret wherever it is said why
// the connector is set aside: in the log, the answers of the console, what check
// prints, and the status topic.
func TestSetAsideShowsNoSecret(t *testing.T) {
	b, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	dir, m := t.TempDir(), marker("connectors[].client_secret")
	s := &secrets{all: map[string]string{}}
	for _, trace := range traces(m) {
		s.add(trace, "client secret")
	}
	for i, f := range forms() {
		for j, way := range settings() {
			line, env, ok := way.line(t, "client_secret", f.of(m))
			if !ok || env != nil {
				continue
			}
			name := fmt.Sprintf("c%d-%d", i, j)
			text := "name: " + name + "\ndomain: acme\nclient_id: id\nbase_url: http://127.0.0.1:1\n" + line + "\n"
			if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := write(t, "c.yaml", fmt.Sprintf("kafka: {brokers: [%s]}\ninstance: test\nhttp: {listen: \"127.0.0.1:0\"}\n"+
		"topics: {replication_factor: 1, offsets: {partitions: 2}}\nconnectors_dir: %s\n", b.Addrs()[0], dir))
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil || len(cfg.SetAside) < 50 {
		t.Fatalf("%d are set aside: hardly what was to be tried; error %v", len(cfg.SetAside), err)
	}
	for _, args := range [][]string{{"check"}, {"check", "--json"}, {"config", "check"}, {"run", "--strict"}} {
		_, out, errs := runCommand(t, append(args, "--config", file)...)
		s.find(t, strings.Join(args, " "), out+errs)
	}

	c := startCommand(t, "run", "--config", file)
	const failing = `"state":"FAILING","stage":"Configuration"`
	eventually(t, "all that are set aside", func() bool {
		_, body := get(consoleOf(c) + "/api/v1/connectors?per_page=1000")
		return strings.Count(body, failing) == len(cfg.SetAside)
	})
	for _, page := range []string{"/metrics", "/api/v1/connectors", "/readyz"} {
		_, body := get(consoleOf(c) + page)
		s.find(t, page, body)
	}
	for _, a := range cfg.SetAside {
		res, err := http.Post(consoleOf(c)+"/api/v1/connectors/"+a.Name+"/check", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		s.find(t, "a check of "+a.Name, string(body))
		if err != nil || !strings.Contains(string(body), "Configuration Error: ") {
			t.Errorf("a check of %s says %s, error %v", a.Name, body, err)
		}
	}
	cluster, err := service.Cluster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	eventually(t, "the status topic", func() bool {
		var topic strings.Builder
		log := &producer.CommittedLog{Cluster: cluster, Topic: cfg.Topics.Status.Name}
		if _, err := log.Read(t.Context(), func(_ int64, r *schemas.Record) error { topic.Write(r.Value); return nil }); err != nil {
			t.Fatal(err)
		}
		s.find(t, "the status topic", topic.String()+"-")
		return strings.Count(topic.String(), failing) >= len(cfg.SetAside)
	})
	c.end()
	s.find(t, "the log", c.errs.String())
	http.DefaultClient.CloseIdleConnections()
}
