# Everything goes through here. `make demo` and `make test` need nothing but what
# deploy/local installs or names; see README.md.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

STACK := deploy/local/stack
WITH_TEST_SERVERS := deploy/local/with-test-servers

# One profile and one feature set everywhere, or cargo builds everything again.
CARGO := cargo --locked

# make chaos SECONDS=600 SEED=7 CLIENTS=8 SHARDS=2; without a SEED another one each time.
SECONDS := 120
# make chaos-restarts RESTARTS=50: so many clean restarts of Kafka, and as many kills.
RESTARTS := 5

.PHONY: help demo up down wipe build test fuzz lint chaos chaos-relay chaos-restarts image sbom bench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: up ## everything: servers, build, processes, seed, wait until MySQL equals MongoDB, report
	@deploy/local/demo

up: build ## servers, Prometheus and the three processes, without data
	@$(STACK) start

down: ## stop the processes and the servers; their data stays
	@$(STACK) stop

wipe: ## stop everything and remove its data
	@$(STACK) wipe

build: toolchain
	@echo "building (cold: about four minutes on two cores)"
	@$(CARGO) build --workspace

test: toolchain ## all tests, on servers of their own
	@deploy/local/stack fetch
	@$(STACK) rules
	@$(CARGO) build --workspace
	@$(WITH_TEST_SERVERS) $(CARGO) test --workspace
	@$(WITH_TEST_SERVERS) deploy/local/fuzz

fuzz: build ## a minute of random requests made from the OpenAPI document
	@deploy/local/stack fetch mongodb kafka mysql
	@$(WITH_TEST_SERVERS) deploy/local/fuzz

lint: toolchain ## formatting, lints and deployment files; warnings refused
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@deploy/lint

image: ## the container image with the four programs
	docker build -t social-commerce-outbox .

# Its tool is compiled once, into .stack/tools.
SBOM_TOOL := .stack/tools/bin/cargo-cyclonedx

sbom: toolchain $(SBOM_TOOL) ## what is in each program, as CycloneDX, in target/sbom
	@mkdir -p target/sbom
	@$(SBOM_TOOL) cyclonedx --quiet --format json --all --target all --describe crate
	@for crate in api relay projector ctl; do mv $$crate/$$crate.cdx.json target/sbom/; done
	@rm -f */*.cdx.json
	@ls target/sbom/*.json

$(SBOM_TOOL):
	@$(CARGO) install --root .stack/tools --version 0.5.7 cargo-cyclonedx

chaos: toolchain ## seeded faults under load, and a checker that counts what they broke
	@deploy/local/stack fetch mongodb kafka mysql
	@$(CARGO) build --workspace
	@TEST_STACK_DIR=.stack/chaos FRESH=1 STOP_AFTER=1 \
	CHAOS_SEED=$(SEED) CHAOS_SECONDS=$(SECONDS) CHAOS_CLIENTS=$(CLIENTS) CHAOS_SHARDS=$(SHARDS) \
	$(WITH_TEST_SERVERS) target/debug/chaos

chaos-relay: toolchain ## the relay's proofs that take minutes: a rolled oplog, a frozen broker, a backlog
	@$(CARGO) build --release --workspace --bin relay
	@$(WITH_TEST_SERVERS) $(CARGO) test --workspace --features relay/chaos --test it chaos::

chaos-restarts: toolchain ## restarts of Kafka under load, and how long data took to flow again
	@deploy/local/stack fetch mongodb kafka mysql
	@$(CARGO) build --workspace
	@TEST_STACK_DIR=.stack/chaos FRESH=1 STOP_AFTER=1 RESTARTS=$(RESTARTS) \
	$(WITH_TEST_SERVERS) target/debug/restarts

bench: ## performance, as ratios to the raw limits of this machine
	@echo "building for release (cold: about eight minutes on two cores)"
	@$(CARGO) build --release --workspace
	@TEST_STACK_DIR=.stack/bench TEST_KAFKA_GC=g1 FRESH=1 STOP_AFTER=1 \
	$(WITH_TEST_SERVERS) target/release/bench $(SECTIONS)

.PHONY: toolchain
toolchain:
	@deploy/local/toolchain
