# Two commands: `make run` answers a question with a real model, `make test` passes the tests. Both do all the set-up.
SHELL := /bin/bash
MODEL ?= walet-nano
PROMPT ?= What is 12345 + 54321?
SWIFT_FLAGS ?=

.PHONY: run smollm2 nano test test-mpi build setup data bench precision lint format clean help

help: ## Lists the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Where `walet` looks for models by name.
STORE := $(or $(WALET_MODELS),$(or $(XDG_DATA_HOME),$(HOME)/.local/share)/walet/models)

run: build $(if $(filter smollm2,$(MODEL)),smollm2) ## Sets up, builds, and asks walet-nano, which needs no download, a question
	@.build/release/walet run $(MODEL) "$(PROMPT)"

smollm2: data ## Puts SmolLM2-135M (93 MB, fetched) where walet finds it by name: make run MODEL=smollm2
	@mkdir -p "$(STORE)/smollm2"
	@for file in .models/smollm2/*.gguf; do \
	    target="$(STORE)/smollm2/$${file##*/}"; [ -e "$$target" ] || ln "$$file" "$$target" 2>/dev/null || cp "$$file" "$$target"; \
	done

nano: build ## Makes walet-nano anew from nothing, in runs/nano (an hour and a half; goes on where it was ended)
	Recipes/nano.sh

test: setup data ## Sets up and passes all tests
	Tests/Web/run.sh
	swift build -c release --build-tests $(SWIFT_FLAGS)
	swift test -c release --skip-build --disable-xctest --no-parallel $(SWIFT_FLAGS)

test-mpi: ## Sets up OpenMPI too, builds with it into .build-mpi, tests training on several processes
	@Tools/setup.sh mpi
	Tools/test-mpi.sh

build: setup ## Builds the command line tool in release mode: .build/release/walet
	swift build -c release --product walet $(SWIFT_FLAGS)

setup: ## Installs missing Debian packages and makes the Python environment in .venv
	@Tools/setup.sh

data: setup ## Fetches the real model and vocabularies that runs and tests use, into .models
	@.venv/bin/python Tools/fetch_test_data.py

BENCH ?=
bench: build data ## Builds the peers, measures Walet beside them (two hours), writes its part of docs/performance.md
	python3 Benchmarks/run.py $(BENCH)

precision: build data ## What fast precision changes against exact, on 55,000 tokens of real text (ten minutes)
	@mkdir -p Benchmarks/.bench
	python3 Benchmarks/make_text.py Benchmarks/.bench/text.txt
	.build/release/walet score .models/smollm2/*.gguf --file Benchmarks/.bench/text.txt --compare

lint: ## Checks the format of all Swift sources
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

format: ## Formats all Swift sources in place
	swift format --in-place --recursive --parallel Package.swift Sources Tests

clean: ## Removes what builds made
	rm -rf .build
