# make help lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := build

KILLS ?= 1000
WORLDS ?= 10000
FUZZTIME ?= 30s
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: build test deps soak bench fuzz lint demo kafka image clean help

build: ## static binary bin/onelogin-kafka
	flags=$$(scripts/version.sh) && CGO_ENABLED=0 go build -trimpath -ldflags "$$flags" -o bin/ ./cmd/onelogin-kafka

test: ## everything: formatting, vet, all tests with the race detector, on a real Kafka and a container engine; installs what they need when root
	scripts/test.sh

deps: ## what the tests need besides Go
	scripts/deps.sh

soak: deps ## the kill test with KILLS kills (1000), and WORLDS random worlds in virtual time (10000)
	SOAK_WORLDS=$(WORLDS) go test -count=1 -timeout 0 -run '^TestExactlyOnce$$|^TestFindsEachAndNothingElse$$' ./source ./internal/reconcile
	SOAK_KILLS=$(KILLS) go test -count=1 -timeout 0 -v -run '^TestKill$$' ./internal/proof/soak

bench: deps ## the recorded measurements, into docs/benchmarks.md (an hour, on a quiet machine)
	go run ./internal/proof/benchmark/cmd -record docs all

fuzz: ## each fuzz target for FUZZTIME (30s)
	FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

lint: ## golangci-lint, as .golangci.yml says
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else go run $(GOLANGCI) run; fi

demo: build ## a simulated OneLogin, the service and a live tail on this machine; Ctrl-C ends it
	bin/onelogin-kafka demo

kafka: deps ## a three-node Kafka on localhost:19092-19094 until Ctrl-C
	go run ./internal/proof/kafkatest/up

image: ## container image
	docker build --build-arg VERSION="$$(scripts/version.sh version)" --build-arg COMMIT="$$(scripts/version.sh commit)" -t onelogin-kafka .

clean: ## what build and test leave behind, the cached Kafka jars excepted
	rm -rf bin dist
	go clean -testcache

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
