#!/usr/bin/env bash
# What the tests need besides Go: a C compiler (for -race), Java 17 or newer and Maven (for a real Kafka).
# Installs what is missing with apt-get when run as root; otherwise says what to install and fails.
set -euo pipefail

java_version() { # the major version, 0 when there is none
  command -v java >/dev/null || { echo 0; return; }
  java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

missing() {
  command -v gcc >/dev/null || echo gcc libc6-dev
  [ "$(java_version)" -ge 17 ] || echo default-jre-headless
  command -v mvn >/dev/null || echo maven
}

if ! command -v go >/dev/null; then
  echo "deps: Go is missing; go.mod names the version" >&2
  exit 1
fi
packages=$(missing | tr '\n' ' ')
[ -n "$packages" ] || exit 0
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
