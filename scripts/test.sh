#!/usr/bin/env bash
# The whole suite: what it needs, formatting, vet, then every test with the race detector. A skipped test is a failure, and so is a
# package with tests of which none ran.
#   TEST_TIMEOUT   of one package (90m): the tests bound their own waits, by what the machine gives; this ends what they do not
#   TEST_PACKAGES  instead of ./...
set -euo pipefail
cd "$(dirname "$0")/.."
timeout=${TEST_TIMEOUT:-90m}
read -ra patterns <<<"${TEST_PACKAGES:-./...}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
step() { printf '== %s\n' "$*"; }

step dependencies
scripts/deps.sh

step gofmt
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
  printf 'not formatted (gofmt -w):\n%s\n' "$unformatted" >&2
  exit 1
fi

step vet
go vet "${patterns[@]}"

# Packages whose tests run a real Kafka go one after the other: three JVMs fill two cores when they start, and leave one idle later. The
# others go beside them. So do those tests of the commands that need none: all but the named ones. One that is not named and needs one
# runs all the same, only not alone.
kafka=$(go list ./internal/proof/kafkatest)
commands=$(go list ./cmd/onelogin-kafka)
commands_on_kafka='^(TestMonday|TestRoles|TestFleetInTheBrowser)$'
go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}{{end}}' "${patterns[@]}" >"$work/tests"
awk -v kafka="$kafka" -v commands="$commands" -v plain="$work/plain" -v on_kafka="$work/kafka" -v both="$work/both" '
  BEGIN { printf "" >plain; printf "" >on_kafka; printf "" >both }
  NF { to = plain; for (i = 2; i <= NF; i++) if ($i == kafka) to = on_kafka; if ($1 == commands) to = both; print $1 >to }' "$work/tests"
[ -s "$work/tests" ] || { echo "no package has tests" >&2; exit 1; }

go build -o "$work/report" ./scripts/report
run() { # NAME PARALLEL FLAG PACKAGE...
  local name=$1 parallel=$2 which=$3 failed=0
  shift 3
  [ $# -gt 0 ] || return 0
  step "$name: $# package(s)"
  go test -json -race -shuffle=on -count=1 -timeout "$timeout" -p "$parallel" "$which" "$@" 2>"$work/stderr.$name" | "$work/report" "$@" || failed=1
  cat "$work/stderr.$name" >&2
  return "$failed"
}

if [ -s "$work/kafka" ] || [ -s "$work/both" ]; then
  step "Kafka's jars"
  go run ./internal/proof/kafkatest/up -fetch
fi
failed=0
{ # shellcheck disable=SC2046 # import paths have no spaces
  run "tests" "$((($(nproc) + 1) / 2))" -run=. $(cat "$work/plain") || failed=1
  # shellcheck disable=SC2046
  run "tests of the commands" 1 -skip="$commands_on_kafka" $(cat "$work/both") || failed=1
  exit "$failed"
} &
plain=$!
# shellcheck disable=SC2046
run "tests on a real Kafka" "$(($(nproc) >= 8 ? 2 : 1))" -run=. $(cat "$work/kafka") || failed=1
# shellcheck disable=SC2046
run "tests of the commands on a real Kafka" 1 -run="$commands_on_kafka" $(cat "$work/both") || failed=1
wait "$plain" || failed=1
[ "$failed" -eq 0 ] || { echo "FAILED" >&2; exit 1; }
echo "all tests passed, none was skipped"
