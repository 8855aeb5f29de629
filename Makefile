# The few commands of this repository. `make` alone lists them.

# Arguments for the demo: make demo ARGS="--for 60s --no-faults"
ARGS ?=
# The recorded command that makes the shipped bundle; models/general/README.md and its manifest repeat it.
BUNDLE_COMMAND ?= train tadgan --synthetic 400 --points 3000 --warm-up 8000 --steps 1000 --patience 0 \
	--seed 1 --out models/general --run out/general

export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help deps demo test gpu-test bundle

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

deps: ## system packages (when root, with apt-get) and ONNX Runtime into .deps/
	@scripts/system.sh build
	@scripts/deps.sh

demo: deps ## build and watch alerts of a live synthetic stream; nothing to set up
	cargo build --locked --release -p agent --bin agent
	target/release/agent demo $(ARGS)

test: deps ## format, lints, documents, and all tests, a real Kafka included
	@scripts/system.sh test
	@scripts/test.sh

gpu-test: deps ## lints and tests of training on a GPU, which nothing else builds; without a GPU, on Mesa's software
	@scripts/system.sh gpu
	@scripts/gpu.sh

bundle: deps ## train models/general again by its recorded command (some two minutes)
	cargo run --locked --release -p training --bin $(firstword $(BUNDLE_COMMAND)) -- $(wordlist 2,99,$(BUNDLE_COMMAND))
