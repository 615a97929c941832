# Everything a newcomer types. `make help` lists the targets. Build products, downloads and Python packages
# live in a cache folder outside the tree, so that clones and working copies share them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millrace
export CARGO_TARGET_DIR ?= $(cache)/target

testbed := tests/testbed
cargo := scripts/cargo.sh
millrace := $(CARGO_TARGET_DIR)/debug/millrace

.PHONY: help
help: ## What there is to make.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "make %-10s %s\n", $$1, $$2}'

.PHONY: system
system: cargo
	@$(testbed)/system.sh build python

.PHONY: cargo
cargo:
	@command -v cargo >/dev/null || { echo "Rust is missing: https://rustup.rs" >&2; exit 1; }

.PHONY: build
build: system ## Build the millrace command (development profile).
	$(cargo) build --locked -p millrace-cli
	@echo "built $(millrace)"

.PHONY: demo
demo: build ## Run the first example with live events; DEMO_SECONDS=30 ends by itself.
	@$$(scripts/python-env.sh) examples/actions-per-minute/demo.py --millrace $(millrace) --seconds $(or $(DEMO_SECONDS),0)

# Format, lints, then every test with a real Kafka and an S3 server beside it. Clippy and the tests share the profile, and with
# it what the build scripts make of the C and C++ libraries.
.PHONY: test
test: system ## Run all checks and tests, with a real Apache Kafka and an S3 server.
	cargo fmt --all --check
# The S3 server builds beside our own, which has idle moments; run.sh waits for it, and says what went wrong.
	@(nice $(testbed)/s3/install.sh || true) >/dev/null 2>&1 &
	$(cargo) clippy --locked --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; fi # else tests/dependencies.rs does, without the advisories
	@scripts/python-env.sh >/dev/null
	$(cargo) test --locked --workspace --no-run
# Tests wait for processes more than they compute: half as many again as there are cores.
	MILLRACE_PYTHON=$$(scripts/python-env.sh) MILLRACE_BIN=$(millrace) RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((($$(nproc) * 3 + 1) / 2))} \
	  $(testbed)/kafka/run.sh $(testbed)/s3/run.sh $(cargo) test --locked --workspace --no-fail-fast

.PHONY: kill-test
kill-test: build ## Kill jobs again and again under load, on a real Kafka: KILLS=50 EVENTS=2000000.
	MILLRACE_BIN=$(millrace) MILLRACE_KILLS=$(or $(KILLS),50) MILLRACE_EVENTS=$(or $(EVENTS),2000000) $(testbed)/kafka/run.sh \
	  $(cargo) test --locked --workspace --test main kafka::kill -- --nocapture --test-threads 1

.PHONY: torture
torture: build ## Torture a job of several workers on three Kafka brokers, within 40 minutes: SCALE=2 doubles it.
	MILLRACE_BIN=$(millrace) MILLRACE_TORTURE_SCALE=$(or $(SCALE),1) $(testbed)/kafka/run.sh \
	  $(cargo) test --locked --workspace --test main torture::results_are_exact -- --nocapture --test-threads 1

.PHONY: e2e
e2e: system ## Run jobs on a real Kubernetes, installed by the chart: E2E="scale upgrade" runs some of the scenarios.
	tests/kubernetes/run.sh

.PHONY: simulate
simulate: cargo ## Simulate the commit protocol with faults, and hunt its mutants: SEEDS=10000.
	cargo build --locked -p millrace-simulation
	$(CARGO_TARGET_DIR)/debug/simulate --seeds $(or $(SEEDS),10000) --mutants

.PHONY: bench
bench: system ## Compare with Apache Flink: QUERIES="q0 q12" EVENTS=2000000, or LATENCY=1.
	benchmarks/run.sh
