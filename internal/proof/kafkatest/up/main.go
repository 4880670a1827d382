// Command up runs a Kafka on loopback until Ctrl-C.
//
//	go run ./internal/proof/kafkatest/up -nodes 3 -port 19092
//
// It prints the bootstrap servers on standard output and then obeys lines on standard input: kill 1, stop 1, start 1, pause 2,
// resume 2.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"onelogin-kafka/internal/proof/kafkatest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "up:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out, status io.Writer) (err error) {
	var opts kafkatest.Options
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(status)
	flags.IntVar(&opts.Nodes, "nodes", 3, "brokers, 1 to 5")
	flags.IntVar(&opts.Port, "port", 19092, "port of the first broker; broker N listens on port+N-1; 0 takes free ones")
	flags.StringVar(&opts.Version, "version", kafkatest.DefaultVersion, "Kafka version")
	fetch := flags.Bool("fetch", false, "only fetch the jars of the versions that the tests use")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *fetch {
		return fetchAll(ctx)
	}
	began := time.Now()
	fmt.Fprintf(status, "starting Kafka %s, %d node(s) …\n", opts.Version, opts.Nodes)
	c, err := kafkatest.New(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	fmt.Fprintf(status, "ready after %.1f s; Ctrl-C ends it and removes its data\n", time.Since(began).Seconds())
	fmt.Fprintln(out, strings.Join(c.Brokers(), ","))

	lines := make(chan string)
	go func() { // ends with the program: a read of standard input cannot be interrupted
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-lines:
			if err := obey(c, line); err != nil {
				fmt.Fprintln(status, "up:", err)
			} else {
				fmt.Fprintln(status, line, "done")
			}
		}
	}
}

func fetchAll(ctx context.Context) error {
	for _, version := range []string{kafkatest.DefaultVersion, kafkatest.Version3} {
		if _, err := kafkatest.Fetch(ctx, version); err != nil {
			return err
		}
	}
	return nil
}

func obey(c *kafkatest.Cluster, line string) error {
	verb, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	id, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || id < 1 || id > len(c.Nodes()) {
		return fmt.Errorf("%q: want kill, stop, start, pause or resume and a node from 1 to %d", line, len(c.Nodes()))
	}
	n := c.Node(id)
	switch verb {
	case "kill":
		return n.Kill()
	case "stop":
		return n.Stop()
	case "start":
		return n.Start()
	case "pause":
		return n.Pause()
	case "resume":
		return n.Resume()
	default:
		return fmt.Errorf("%q: unknown command", verb)
	}
}
