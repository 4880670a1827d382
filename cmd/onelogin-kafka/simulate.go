package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"onelogin-kafka/internal/config"
	"onelogin-kafka/source/onelogin/simulator"
)

func newSimulate() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "simulate",
		Example: "  onelogin-kafka simulate --connectors connectors.d\n  onelogin-kafka simulate --listen 127.0.0.1:9000",
		Short:   "Run a simulated OneLogin",
		Long: "Run a simulated OneLogin: tenants, events, rate limits and faults, switchable while it\n" +
			"runs under /_sim/. It is for development and tests, and listens on loopback only.",
		Args: args(cobra.NoArgs),
	}
	var (
		listen  = cmd.Flags().String("listen", "127.0.0.1:9000", "`address` to listen on")
		tenants = cmd.Flags().Int("tenants", 3, "number of tenants")
		rate    = cmd.Flags().Float64("rate", 1, "events per second and tenant")
		backlog = cmd.Flags().Int64("backlog", 1000, "events per tenant from before the start")
		file    = cmd.Flags().String("sim-config", "", "YAML `file` that says everything instead of the flags above")
		out     = cmd.Flags().String("connectors", "", "write one connector file per tenant into this `folder`, and what a simulator that is started again needs to show the same events")
		secured = cmd.Flags().String("tls", "", "serve HTTPS with cert.pem and key.pem of this `folder`, made for this host when they are not there")
		exposed = cmd.Flags().Bool("container", false, "listen on any address: inside a container network only")
	)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		conf := simulator.Default(*tenants)
		for i := range conf.Tenants {
			conf.Tenants[i].Traffic.Rate, conf.Tenants[i].Backlog = *rate, *backlog
		}
		if *file != "" {
			var err error
			if conf, err = readSimulation(*file); err != nil {
				return usage(err)
			}
		}
		if !*exposed && !loopback(*listen) {
			return usage(fmt.Errorf("--listen %s is not a loopback address: the simulator hands out its secrets to whoever asks", *listen))
		}
		if *out != "" && conf.Start.IsZero() {
			var err error
			if conf.Start, err = firstStart(filepath.Join(*out, ".start")); err != nil {
				return err
			}
		}
		sim, err := simulator.New(conf)
		if err != nil {
			return usage(err)
		}
		l, err := net.Listen("tcp", *listen)
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		base := "http://" + l.Addr().String()
		if *secured != "" {
			if l, base, err = overTLS(l, *secured); err != nil {
				return err
			}
		}
		if *out != "" {
			if err := writeConnectors(*out, base, sim); err != nil {
				return err
			}
		}
		fmt.Fprintf(cmd.OutOrStdout(), "simulated OneLogin at %s with %d tenants; control under %s/_sim/\n", base, len(sim.Tenants()), base)
		return serveHTTP(cmd.Context(), l, withHealth(sim))
	}
	return cmd
}

func readSimulation(path string) (simulator.Config, error) {
	var conf simulator.Config
	text, err := os.ReadFile(path)
	if err != nil {
		return conf, fmt.Errorf("reading the simulation: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&conf); err != nil && !errors.Is(err, io.EOF) {
		return conf, fmt.Errorf("reading the simulation %s: %w", path, config.YAMLError(err, text))
	}
	return conf, nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// firstStart is when a simulator first wrote into a folder, which its file tells:
// one that is started again shows the same events.
func firstStart(file string) (time.Time, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		var start time.Time
		if start, err = time.Parse(time.RFC3339Nano, string(text)); err == nil {
			return start, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, fmt.Errorf("reading when the simulator first started: %w", err)
	}
	now := time.Now().UTC()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return time.Time{}, fmt.Errorf("writing when the simulator first started: %w", err)
	}
	if err := os.WriteFile(file, []byte(now.Format(time.RFC3339Nano)), 0o600); err != nil {
		return time.Time{}, fmt.Errorf("writing when the simulator first started: %w", err)
	}
	return now, nil
}

// writeConnectors writes what connectors_dir reads, and the secrets below it.
func writeConnectors(dir, base string, sim *simulator.Server) error {
	secrets, err := filepath.Abs(filepath.Join(dir, ".secrets"))
	if err == nil {
		err = os.MkdirAll(secrets, 0o700)
	}
	if err != nil {
		return fmt.Errorf("writing connectors: %w", err)
	}
	for _, t := range sim.Tenants() {
		secret := filepath.Join(secrets, t.Name)
		text := fmt.Sprintf("name: %s\ndomain: %s\nclient_id: %s\nclient_secret_file: %q\nbase_url: %s\n", t.Name, t.Domain, t.ClientID, secret, base)
		err := os.WriteFile(secret, []byte(t.ClientSecret+"\n"), 0o600)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, t.Name+".yaml"), []byte(text), 0o600)
		}
		if err != nil {
			return fmt.Errorf("writing connectors: %w", err)
		}
	}
	return nil
}

// withHealth answers what onelogin-kafka health asks.
func withHealth(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			fmt.Fprintln(w, "ok")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// serveHTTP serves h on l until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
