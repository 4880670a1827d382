package config

import (
	"fmt"
	"slices"
	"strings"
)

// otherwise are variables that other Kafka clients read, and what is meant here.
var otherwise = map[string]string{
	"KAFKA_BOOTSTRAP_SERVERS": EnvBrokers,
	"KAFKA_SECURITY_PROTOCOL": EnvTLS + "=true",
}

// Misspelt returns a warning for each variable of environ, as os.Environ returns
// it, that Load does not know and that looks as if one of Variables was meant.
// Others with such names are none of ours: Kubernetes sets some for each service,
// and Kafka's own tools read some.
func Misspelt(environ []string) Problems {
	var names []string
	for _, v := range Variables() {
		names = append(names, v.Name)
	}
	var all Problems
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || slices.Contains(names, name) {
			continue
		}
		meant := otherwise[name]
		if meant == "" && (strings.HasPrefix(name, "KAFKA_") || strings.HasPrefix(name, "ONELOGIN_")) {
			meant = alike(name, names)
		}
		if meant != "" {
			all = append(all, Problem{File: "environment", Path: name, Message: fmt.Sprintf("is not read; %s may be meant", meant)})
		}
	}
	slices.SortFunc(all, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// alike is the first of names that name looks like; empty if none does.
func alike(name string, names []string) string {
	for _, known := range names {
		if shortened(strings.Split(name, "_"), strings.Split(known, "_")) {
			return known
		}
	}
	for _, known := range names {
		if distance(strings.ReplaceAll(name, "_", ""), strings.ReplaceAll(known, "_", "")) <= 2 {
			return known
		}
	}
	return ""
}

// shortened tells whether words are those of known, each maybe cut short, with at
// most one left out.
func shortened(words, known []string) bool {
	if len(words) < len(known)-1 || len(words) > len(known) {
		return false
	}
	for _, word := range known {
		if len(words) > 0 && len(words[0]) > 1 && strings.HasPrefix(word, words[0]) {
			words = words[1:]
		}
	}
	return len(words) == 0
}

// distance is how many letters must be put in, left out or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
