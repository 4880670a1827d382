#!/bin/sh
# What internal/build is told of the sources, by git or by VERSION and COMMIT in the environment.
#   scripts/version.sh           the linker's flags
#   scripts/version.sh version   the version alone
#   scripts/version.sh commit    the commit alone
# Nothing where neither knows; an archive of the tree says it itself then.
set -eu
cd "$(dirname "$0")/.."

# Only of a repository of our own: an unpacked archive may lie in another's. And of one that belongs to somebody else, as in CI.
git() { [ -e .git ] && command git -c safe.directory='*' "$@"; }

version() {
  if [ -n "${VERSION:-}" ]; then
    echo "$VERSION"
  else
    git describe --tags --match 'v[0-9]*' 2>/dev/null ||
      TZ=UTC0 git log -1 --abbrev=12 --date=format-local:%Y%m%d%H%M%S --format=v0.0.0-%cd-%h
  fi
}

# What a container's build context leaves out is no change, and what the binary is not made of neither.
commit() {
  if [ -n "${COMMIT:-}" ]; then
    echo "$COMMIT"
    return
  fi
  head=$(git rev-parse HEAD) || return 1
  changes=$(git status --porcelain -- cmd internal producer schemas source go.mod go.sum ':(exclude,glob)**/testdata/**') || return 1
  echo "$head${changes:++changes}"
}

known() { # WHAT: its value, or nothing and a word about it
  "$1" || echo "version.sh: the $1 is not known: this is no git repository, or git is missing" >&2
}

case "${1:-flags}" in
version | commit) known "$1" ;;
flags)
  v=$(known version) c=$(known commit)
  echo "${v:+-X 'onelogin-kafka/internal/build.version=$v'} ${c:+-X 'onelogin-kafka/internal/build.commit=$c'}"
  ;;
*)
  echo "version.sh: $1 is neither version nor commit" >&2
  exit 2
  ;;
esac
