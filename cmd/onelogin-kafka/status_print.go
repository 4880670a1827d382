package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"onelogin-kafka/internal/fleet"
	"onelogin-kafka/schemas"
)

// columns is how wide the output of a command is at most.
const columns = 100

// statusName is how wide the first column is.
const statusName = 22

// statusOwner is how wide the last one is.
const statusOwner = 12

const statusRow = "%-22s  %-11s  %5s  %6s  %5s  %5s  %5s  %5s  %6s  %s\n"

// text is the table: the counts, then the connectors, with what is wrong and
// what to do under each that is not well.
func (p *statusPrinter) text(list []fleet.Status, now time.Time) string {
	var b strings.Builder
	b.WriteString(countLine(list))
	since, silent := fleet.Silent(list, now)
	if silent {
		b.WriteString(wrap(fmt.Sprintf("no instance is alive: nobody has reported anything since %s, %s ago", since.UTC().Format(time.RFC3339), fleet.Ago(now.Sub(since))), ""))
		b.WriteString(wrap("→ Start one with onelogin-kafka run, or see in its log and /readyz why it owns no shards.", "    "))
	}
	if len(p.shadowed) > 0 {
		b.WriteString(wrap(fmt.Sprintf("%d connectors of the control log are not used, as a file has their name: %s", len(p.shadowed), some(p.shadowed)), ""))
	}
	fmt.Fprintf(&b, statusRow, "CONNECTOR", "STATE", "SINCE", "POLLED", "EVENT", "LAG", "COMPL", "VERIF", "BUDGET", "OWNER")
	left, well := mostWell, 0
	for i := range list {
		s := &list[i]
		if s.Message == "" && !p.all {
			if left--; left < 0 {
				well++
				continue
			}
		}
		appendStatus(&b, s, now, !silent)
	}
	if well > 0 {
		fmt.Fprintf(&b, "… and %d more that are well; --all lists them\n", well)
	}
	return b.String()
}

func countLine(list []fleet.Status) string {
	counts := fleet.Counts(list)
	var parts []string
	for _, state := range []schemas.State{schemas.StateFailing, schemas.StateInactive, schemas.StateThrottled, schemas.StateCatchingUp, schemas.StatePaused, schemas.StateActive} {
		if counts[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
		}
	}
	if len(parts) == 0 {
		return "no connectors\n"
	}
	return fmt.Sprintf("%d connectors: %s\n", len(list), strings.Join(parts, ", "))
}

// appendStatus writes a connector's lines, with what to do unless that was said for
// all.
func appendStatus(b *strings.Builder, s *fleet.Status, now time.Time, advise bool) {
	name := clean(s.Connector)
	if utf8.RuneCountInString(name) > statusName {
		b.WriteString(name + "\n") // whole, so that it can be copied
		name = ""
	}
	lag := "-"
	if s.LagSeconds >= 0 && !s.LastPollAt.IsZero() {
		lag = fleet.Ago(time.Duration(s.LagSeconds * float64(time.Second)))
	}
	budget := "-"
	if s.RateLimit.Limit > 0 {
		budget = fmt.Sprintf("%d%%", 100*s.RateLimit.Remaining/s.RateLimit.Limit)
	}
	owner := clean(s.Instance)
	if utf8.RuneCountInString(owner) > statusOwner {
		owner = string([]rune(owner)[:statusOwner-1]) + "…"
	}
	fmt.Fprintf(b, statusRow, name, s.State, since(s.Since, now), since(s.LastPollAt, now), since(s.LastEventAt, now),
		lag, since(s.CompleteThrough, now), since(s.VerifiedThrough, now), budget, owner)
	if text := reason(s); text != "" {
		b.WriteString(wrap(strings.TrimPrefix(text, "  "), "    "))
	}
	if advise && s.Advice != "" && s.Message != "" {
		b.WriteString(wrap("→ "+clean(s.Advice), "    "))
	}
}

// mostNamed is how many names a line has at most.
const mostNamed = 20

// some are the first of many names.
func some(names []string) string {
	if more := len(names) - mostNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}

// since is how long ago t is.
func since(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return fleet.Ago(max(now.Sub(t), 0))
}

// reason is what is wrong, after two spaces; empty if nothing is.
func reason(s *fleet.Status) string {
	switch {
	case s.Message == "":
		return ""
	case s.Stage == "" || s.Age > fleet.Stale:
		return "  " + clean(s.Message)
	}
	return "  " + clean(s.Stage) + " Stage: " + clean(s.Message)
}

// wrap breaks text at its spaces into lines of at most 100 columns, each behind
// indent. What has no space in that many goes beyond.
func wrap(text, indent string) string {
	var b strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if line != indent && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}
