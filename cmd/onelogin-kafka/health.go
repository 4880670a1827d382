package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onelogin-kafka/internal/config"
)

func newHealth() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the running instance whether it is well, for images without a shell",
		Long: "Ask the instance that runs with this configuration, at its http.listen, whether its process answers, or with\n" +
			"--ready whether it is in the group and serves its shards. It is asked on this host: of an address that means\n" +
			"all of them (0.0.0.0) on loopback. Its certificate is not verified, since it is this host's own and seldom\n" +
			"named for loopback; nothing secret is sent.",
		Example: "  onelogin-kafka health --config /etc/onelogin-kafka.yaml\n" +
			"  onelogin-kafka health --ready\n" +
			"  HEALTHCHECK CMD [\"onelogin-kafka\", \"health\"]",
		Args: args(cobra.NoArgs),
	}
	load := configFlag(cmd)
	ready := cmd.Flags().Bool("ready", false, "ask whether it is ready, and not only whether it answers")
	at := cmd.Flags().String("url", "", "ask at this `URL` instead, as http://127.0.0.1:9000 for a simulator, and read no configuration")
	timeout := cmd.Flags().Duration("timeout", 5*time.Second, "how long to wait for the answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 {
			return usage(errors.New("--timeout is above 0"))
		}
		if *at == "" {
			cfg, err := load()
			if err != nil {
				return err
			}
			if *at, err = healthURL(&cfg.HTTP); err != nil {
				return usage(err)
			}
		}
		path := "/healthz"
		if *ready {
			path = "/readyz"
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		return askHealth(ctx, strings.TrimRight(*at, "/"), path, cmd.OutOrStdout())
	}
	return cmd
}

// mostHealth bounds what is read of an answer.
const mostHealth = 4 << 10

// errWell says what an instance answered that is not well.
var errWell = errors.New("the instance is not well")

// askHealth asks whoever is at base. What does not get so far is said without the
// URL, in which a password may stand.
func askHealth(ctx context.Context, base, path string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil || req.URL.Host == "" || req.URL.User != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return usage(errors.New("--url is no address of an instance; write it as http://127.0.0.1:8080"))
	}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see the command's help
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no instance answers at %s: %w", req.URL.Host, cause(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostHealth))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", req.URL.Host, err)
	}
	text := clean(strings.TrimSpace(string(body)))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s (%d)", errWell, text, res.StatusCode)
	}
	fmt.Fprintln(out, text)
	return nil
}

// cause is an HTTP client's error without the request, which its caller names.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// healthURL is where an instance with this listener is asked on its own host.
func healthURL(c *config.HTTP) (string, error) {
	address, err := healthAddress(c.Listen)
	if err != nil {
		return "", err
	}
	if c.TLS != nil {
		return "https://" + address, nil
	}
	return "http://" + address, nil
}

// healthAddress is where an instance that listens so is asked on its own host.
func healthAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("http.listen: %w", err)
	}
	if port == "0" {
		return "", errors.New("http.listen has port 0, which is another at each start: give it one that can be asked")
	}
	switch ip := net.ParseIP(host); {
	case host == "" || ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}
