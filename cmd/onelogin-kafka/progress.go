package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"onelogin-kafka/schemas"
)

// progress tells how far a comparison is: on one line that is drawn anew on a
// terminal, else with a plain line now and then.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time

	mu    sync.Mutex
	said  time.Time
	drawn bool
	read  int
	first *schemas.Report // what there was when it was looked first
	at    schemas.Report
}

const (
	plainEvery = 10 * time.Second
	drawnEvery = 200 * time.Millisecond
)

func newProgress(out io.Writer) *progress {
	now := time.Now()
	return &progress{out: out, terminal: isTerminal(out), began: now, said: now}
}

func (p *progress) records(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read += n
	p.tell()
}

func (p *progress) report(r schemas.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at = r; p.first == nil {
		p.first = &r
	}
	p.tell()
}

func (p *progress) trouble(err error) {
	p.note("onelogin-kafka: " + clean(err.Error()) + "; trying again")
}

// note prints a line of its own.
func (p *progress) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(p.out, text)
}

// tell says it where it is time to.
func (p *progress) tell() {
	every := plainEvery
	if p.terminal {
		every = drawnEvery
	}
	now := time.Now()
	if now.Sub(p.said) < every {
		return
	}
	p.said = now
	text := p.text(now)
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		p.drawn = true
		return
	}
	fmt.Fprintln(p.out, text)
}

func (p *progress) text(now time.Time) string {
	if p.first == nil {
		return fmt.Sprintf("reading the topic: %d records", p.read)
	}
	took, done := now.Sub(p.began), p.at.Through.Sub(p.first.Through)
	text := fmt.Sprintf("%3.0f %%  %s  %d events, %d missing, ", 100*share(&p.at), p.at.Through.Format(time.RFC3339), p.at.Events, p.at.Missing)
	if p.at.Repaired > 0 {
		text += fmt.Sprintf("%d published, ", p.at.Repaired)
	}
	text += fmt.Sprintf("%d altered, %d twice", p.at.Altered, p.at.Duplicate)
	if done <= 0 {
		return text
	}
	left := time.Duration(float64(took) * float64(p.at.To.Sub(p.at.Through)) / float64(done))
	return text + fmt.Sprintf("  %.0f/s, %v left", float64(p.at.Events-p.first.Events)/took.Seconds(), left.Round(time.Second))
}

// share is how much of its range a comparison has done, 0 to 1.
func share(r *schemas.Report) float64 {
	all := r.To.Sub(r.From)
	if all <= 0 {
		return 1
	}
	return float64(r.Through.Sub(r.From)) / float64(all)
}

func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
