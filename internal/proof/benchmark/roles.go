package benchmark

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// task is what a role is told, as JSON.
type task struct {
	// URL, ClientID, ClientSecret, Since and Limit are what is to be read.
	URL          string `json:"url,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	Since        string `json:"since,omitempty"`
	Limit        int    `json:"limit,omitempty"`
	// Brokers, Topic and Key are where it is to be written.
	Brokers []string `json:"brokers,omitempty"`
	Topic   string   `json:"topic,omitempty"`
	Key     string   `json:"key,omitempty"`
}

// done is what a role that reads to the end says last.
type done struct {
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`
}

// runRole is the other side of role: one of the processes of a measurement.
func runRole(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("a role and its task are needed")
	}
	switch args[0] {
	case "simulate":
		return serveSimulation(ctx, args[1], in, out)
	case "service":
		return serveProfiled(ctx, args[1])
	}
	var t task
	if err := json.Unmarshal([]byte(args[1]), &t); err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	var d done
	var err error
	switch args[0] {
	case "bare":
		d, err = readBare(ctx, t, true)
	case "bare-unchecked":
		d, err = readBare(ctx, t, false)
	case "at-least-once":
		d, err = forwardAtLeastOnce(ctx, t)
	default:
		err = fmt.Errorf("there is no role %q", args[0])
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(d); err != nil {
		return err
	}
	<-ctx.Done() // its processor time can be read as long as it lives
	return nil
}

// role starts this program as another party.
func (b *bench) role(name string, t any) (*process, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("writing the task: %w", err)
	}
	return start(name, b.self, "role", name, string(text))
}
