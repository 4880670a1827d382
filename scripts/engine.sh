#!/usr/bin/env bash
# Runs a command with a Docker Engine and Compose of its own, on Debian as root and without an image registry, and leaves nothing:
#   scripts/engine.sh docker compose up --build
#   scripts/engine.sh make image
#   scripts/engine.sh --fetch         only what is kept from run to run: Compose, in the user's cache
# The engine is Debian's, Compose is built from its Go module. The images that Dockerfile and docker-compose.yml pull are stand-ins of
# the same names, made of this machine's own shell, git, Go and Java, of Kafka's jars (those of the tests) and of Go's module cache.
# Containers reach those of their network, and are reached from this machine's loopback; nothing else. The two rules of the machine's
# firewall that are for that, where another engine has been, go with the engine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
compose_version=2.40.3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/onelogin-kafka
compose=$cache/compose-$compose_version
die() { echo "engine.sh: $*" >&2; exit 1; }

fetch_compose() {
  [ -x "$compose" ] && return
  local module
  module=$(go mod download -json "github.com/docker/compose/v2@v$compose_version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -n "$module" ] || die "the module of Compose $compose_version cannot be had"
  mkdir -p "$cache"
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -C "$module" -trimpath -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=v$compose_version" -o "$compose.$$" ./cmd
  mv "$compose.$$" "$compose"
}

image_of() { # NAME: as Dockerfile and docker-compose.yml have it, with its tag
  grep -hoE "\b$1:[A-Za-z0-9._-]+" "$here/Dockerfile" "$here/docker-compose.yml" | head -n 1
}

add() { # ROOT FILE...: the files, and the libraries that they want
  local root=$1
  shift
  { printf '%s\n' "$@"; ldd "$@" 2>/dev/null | grep -oE '(^|[[:space:]])/[^ :]+' | tr -d '[:blank:]'; } | sort -u | xargs cp -L --parents -t "$root"
}

base() { # ROOT: what both stand-ins have
  mkdir -p "$1/tmp" "$1/etc/ssl/certs" "$1/bin" "$1/usr/bin"
  chmod 1777 "$1/tmp"
  cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
  local tools=()
  for tool in sh bash env mkdir chmod rm mv cp cat ls date sed tr head dirname printf git; do tools+=("/usr/bin/$tool"); done
  add "$1" "${tools[@]}"
  [ -e "$1/bin/sh" ] || cp -r "$1"/usr/bin/{sh,bash} "$1/bin/"
}

golang() {
  local root=$home/root-go
  base "$root"
  mkdir -p "$root/usr/local/go"
  tar -C "$(go env GOROOT)" -c --exclude=./test --exclude=./doc --exclude=./api --exclude=testdata . | tar -C "$root/usr/local/go" -x
  (cd "$here" && go mod download && GOPROXY=file://$(go env GOMODCACHE)/cache/download GOMODCACHE=$root/go/pkg/mod GOFLAGS=-modcacherw go mod download)
  import "$root" "$(image_of golang)" PATH=/usr/local/go/bin:/usr/bin:/bin GOPATH=/go GOTOOLCHAIN=local GOPROXY=off
}

kafka() {
  local root=$home/root-kafka image java
  image=$(image_of apache/kafka)
  base "$root"
  java=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
  mkdir -p "$root/opt/java" "$root/opt/kafka/bin" "$root/var/lib/kafka/data"
  tar -C "$java" -ch --exclude=./lib/src.zip --exclude=./jmods . | tar -C "$root/opt/java" -x
  # shellcheck disable=SC2046 # libraries that are loaded by name
  add "$root" "$java/bin/java" "$java"/lib/*.so "$java"/lib/server/libjvm.so $(ldconfig -p | awk '/lib(pthread|dl|rt|m|gcc_s|stdc\+\+)\.so/ { print $NF }')
  rm -rf "${root:?}$java"
  (cd "$here" && go run ./internal/proof/kafkatest/up -fetch)
  cp -rL "$cache/kafka-${image##*:}" "$root/opt/kafka/libs"
  printf '#!/bin/bash\nexec java -Xmx256m -cp "/opt/kafka/libs/*" kafka.tools.StorageTool "$@"\n' >"$root/opt/kafka/bin/kafka-storage.sh"
  printf '#!/bin/bash\nexec java $KAFKA_HEAP_OPTS -cp "/opt/kafka/libs/*" kafka.Kafka "$@"\n' >"$root/opt/kafka/bin/kafka-server-start.sh"
  chmod +x "$root"/opt/kafka/bin/*
  chown 1000:1000 "$root/var/lib/kafka/data"
  import "$root" "$image" JAVA_HOME=/opt/java PATH=/opt/java/bin:/usr/bin:/bin
}

import() { # ROOT IMAGE VARIABLE=VALUE...
  local root=$1 image=$2 changes=()
  shift 2
  for variable in "$@"; do changes+=(--change "ENV $variable"); done
  tar -C "$root" -c . | docker import "${changes[@]}" - "$image" >/dev/null
  rm -rf "$root"
}

rules() { # -I or -D: within a network all may pass, from one to another nothing
  iptables-legacy "$1" FORWARD -i br-+ -o br-+ -j DROP
  iptables-legacy "$1" FORWARD -m physdev --physdev-is-bridged -j ACCEPT
}

start() {
  mkdir -p "$home/bin" "$home/config/cli-plugins"
  ln -s /usr/bin/docker "$home/bin/docker"
  ln -s /usr/sbin/iptables-legacy "$home/bin/iptables" # of the containers' own name server
  ln -s "$compose" "$home/config/cli-plugins/docker-compose"
  printf '{"deprecated-key-path": "%s"}\n' "$home/key.json" >"$home/daemon.json"
  export PATH=$home/bin:$PATH DOCKER_HOST=unix://$home/docker.sock DOCKER_CONFIG=$home/config DOCKER_BUILDKIT=0 COMPOSE_BAKE=false
  rules -I
  ruled=1
  setsid /usr/sbin/dockerd --config-file "$home/daemon.json" --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/pid" -H "$DOCKER_HOST" \
    --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false >"$home/log" 2>&1 </dev/null &
  engine=$!
  until docker info >/dev/null 2>&1; do
    kill -0 "$engine" 2>/dev/null || die "the engine does not start: $(tail -n 3 "$home/log")"
    sleep 0.1
  done
}

stop() {
  trap '' INT TERM
  if [ -n "$engine" ]; then
    docker ps -aq | xargs -r docker rm -f >/dev/null || true
    docker network ls -q --filter type=custom | xargs -r docker network rm >/dev/null || true
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
  fi
  [ -z "$ruled" ] || rules -D
  rm -rf "$home"
}

[ $# -gt 0 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
fetch_compose
[ "$1" != --fetch ] || exit 0
[ "$(id -u)" = 0 ] || die "a container engine is started by root only: run this as root"
[ -x /usr/sbin/dockerd ] || die "Debian's docker.io is missing: scripts/deps.sh installs it"
home=$(mktemp -d "${TMPDIR:-/tmp}/onelogin-kafka-engine-XXXXXX") engine= ruled=
trap stop EXIT
trap 'exit 130' INT TERM
start
golang
kafka
"$@"
