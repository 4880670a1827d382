#!/usr/bin/env bash
# What the tests need besides Go: a C compiler (for -race), Java 17 or newer and Maven (for a real Kafka), Chromium and axe-core (for
# the console's pages; npm fetches axe-core into the user's cache), Python and schemathesis (for its API; pip puts it there, too), Docker's
# engine and Compose (for the stack; scripts/engine.sh builds Compose into the cache), Prometheus's promtool (for the alerts; out of its
# package into the cache: the server that comes with it is not wanted).
# Installs what is missing with apt-get when run as root; otherwise says what to install and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

axe_version=4.14.1
axe=${XDG_CACHE_HOME:-$HOME/.cache}/onelogin-kafka/axe-$axe_version.min.js

axe_core() { # fetches axe-core unless it is there
  [ -s "$axe" ] && return
  local work
  work=$(mktemp -d)
  echo "deps: fetching axe-core $axe_version"
  (cd "$work" && npm pack --silent "axe-core@$axe_version" >/dev/null && tar -xzf "axe-core-$axe_version.tgz" package/axe.min.js)
  mkdir -p "$(dirname "$axe")"
  mv "$work/package/axe.min.js" "$axe"
  rm -rf "$work"
}

fuzzer_version=$(sed -n 's/^schemathesis==//p' scripts/schemathesis.txt)
fuzzer=${XDG_CACHE_HOME:-$HOME/.cache}/onelogin-kafka/schemathesis-$fuzzer_version

schemathesis() { # installs it unless it is there, whole
  [ -e "$fuzzer/installed" ] && return
  echo "deps: installing schemathesis $fuzzer_version"
  rm -rf "$fuzzer"
  python3 -m venv "$fuzzer"
  "$fuzzer/bin/pip" install --quiet --disable-pip-version-check -r scripts/schemathesis.txt
  touch "$fuzzer/installed"
}

promtool=${XDG_CACHE_HOME:-$HOME/.cache}/onelogin-kafka/promtool

promtool() { # takes it out of its package unless it is there
  [ -x "$promtool" ] && return
  local work
  work=$(mktemp -d)
  echo "deps: fetching promtool"
  (cd "$work" && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg-deb -x prometheus_*.deb .)
  mkdir -p "$(dirname "$promtool")"
  mv "$work/usr/bin/promtool" "$promtool"
  rm -rf "$work"
}

java_version() { # the major version, 0 when there is none
  command -v java >/dev/null || { echo 0; return; }
  java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

missing() {
  command -v gcc >/dev/null || echo gcc libc6-dev
  [ "$(java_version)" -ge 17 ] || echo default-jre-headless
  command -v mvn >/dev/null || echo maven
  command -v chromium >/dev/null || echo chromium fonts-dejavu-core
  [ -e "$fuzzer/installed" ] || python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
  [ -s "$axe" ] || command -v npm >/dev/null || echo npm
  [ -x /usr/sbin/dockerd ] || echo docker.io
}

if ! command -v go >/dev/null; then
  echo "deps: Go is missing; go.mod names the version" >&2
  exit 1
fi
packages=$(missing | tr '\n' ' ')
fetch() { # what no package has
  axe_core
  schemathesis
  promtool
  scripts/engine.sh --fetch
}
if [ -z "$packages" ]; then
  fetch
  exit 0
fi
install="apt-get update && apt-get install -y --no-install-recommends $packages"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "deps: missing: $packages" >&2
  echo "deps: on Debian, as root: $install" >&2
  exit 1
fi
echo "deps: installing $packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of names
apt-get install -qq -y --no-install-recommends $packages >/dev/null
packages=$(missing | tr '\n' ' ')
[ -z "$packages" ] || { echo "deps: still missing after the installation: $packages" >&2; exit 1; }
fetch
