#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (30s), or those whose name matches FUZZ.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files -co --exclude-standard '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/' | sort -u |
  while IFS=: read -r file target; do
    [[ $target =~ ${FUZZ:-.} ]] || continue
    printf '== %s %s\n' "$(dirname "$file")" "$target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "./$(dirname "$file")"
  done
