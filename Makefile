# Otic: build, test, look. `make` lists the targets.
# All set-up is done with the ordinary clients of PyPI, cargo and npm; only `make deps` calls the
# system's package manager.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
CARGO := cargo
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
NAME ?=
SHARED ?= ../shared
FUZZ_SECONDS ?= 60

CORE_SOURCES := $(shell find core \( -name target -o -name fuzz -o -name corpus \) -prune -o \( -name '*.rs' -o -name '*.toml' -o -name Cargo.lock \) -print)
CONSOLE := src/otic/console/index.html
CONSOLE_SOURCES := $(shell find console -name node_modules -prune -o -name dist -prune -o -type f -print 2>/dev/null)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# -- set-up ---------------------------------------------------------------------------------------

.PHONY: deps
deps: ## Install the Debian packages that building and testing need
	@tools/deps.sh

$(STAMPS)/python: requirements.lock
	@PYTHON=$(PYTHON) tools/need.sh python
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/core: $(STAMPS)/python pyproject.toml $(CORE_SOURCES)
	@tools/need.sh cargo
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked --quiet
	@touch $@

console/node_modules/.package-lock.json: console/package.json console/package-lock.json
	@tools/need.sh node
	cd console && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

src/otic/console/index.html: console/node_modules/.package-lock.json $(CONSOLE_SOURCES)
	cd console && npm run --silent build
	@touch $@

.PHONY: need
need:
	@PYTHON=$(PYTHON) tools/need.sh python cargo node

.PHONY: install
install: need $(STAMPS)/core $(CONSOLE) ## Build everything; .venv/bin/otic is the program

$(STAMPS)/witnesses: tests/traffic/requirements.lock $(STAMPS)/python
	test -x $(VENV)/witnesses/bin/python || $(PYTHON) -m venv $(VENV)/witnesses
	$(VENV)/witnesses/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: witnesses
witnesses: $(STAMPS)/witnesses ## Install the stacks whose traffic tests read, in an environment of their own

.PHONY: demo
demo: install ## Build everything and start Otic on a small capture that it makes itself
	$(BIN)/otic demo $(DEMO)

.PHONY: deb
deb: install ## Build the Debian package, build/otic_<version>_<architecture>.deb
	$(BIN)/python tools/build_deb.py

.PHONY: image
image: install ## Build the OCI image, build/otic-sensor.oci.tar
	$(BIN)/python tools/build_image.py

.PHONY: test-packages
test-packages: install ## Build the Debian package and the image and try both (needs mmdebstrap, mirrors)
	$(BIN)/python -m pytest packaging/tests

# -- checks ---------------------------------------------------------------------------------------

.PHONY: test
test: ## All tests of the three languages, one summary at the end
	@tools/deps.sh --check
	@$(MAKE) --no-print-directory install witnesses
	$(BIN)/python tools/run_tests.py

.PHONY: lint
lint: install ## Formatters, linters and types of the three languages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd core && $(CARGO) fmt --all --check
	cd core && $(CARGO) clippy --locked --workspace --all-targets --features otic-engine/python --quiet -- -D warnings
	@if command -v cargo-deny >/dev/null 2>&1; then cd core && cargo deny --locked check bans licenses sources; \
	else echo "cargo-deny is not installed: tests/unit/test_licences.py checks the crates' licences"; fi
	cd console && npm run --silent check

.PHONY: format
format: install ## Format the three languages
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd core && $(CARGO) fmt --all
	cd console && npm run --silent format

.PHONY: generate
generate: install ## Rewrite what is generated: pages of docs/, OpenAPI document, console types
	$(BIN)/python tools/build_docs.py
	$(BIN)/python -m otic.api.export console/openapi.json
	cd console && npm run --silent api

.PHONY: fuzz
fuzz: ## Feed broken bytes to the core (FUZZ_SECONDS=60): half guided by coverage, half broken captures
	@tools/need.sh cargo
	@core/fuzz/run.sh $$(($(FUZZ_SECONDS) / 2))
	@cd core && $(CARGO) run --release --locked --quiet -p otic-mutate -- $$(($(FUZZ_SECONDS) / 2)) $(wildcard $(abspath $(SHARED))/captures)

.PHONY: bench
bench: install ## Compare speed and memory with a bare libpcap loop, nDPI and tshark, where installed
	$(BIN)/python bench/run.py

.PHONY: score
score: install ## Compare with tshark's view of the sample captures (SHARED=../shared, SAMPLE=1/1)
	$(BIN)/python tools/check_score.py --shared $(SHARED) --sample $(or $(SAMPLE),1/1)

.PHONY: soak
soak: install ## Full score, benches, an hour of fuzzing, fault tests; written to docs/measured/
	$(BIN)/python tools/soak.py --shared $(SHARED)

.PHONY: lock
lock: $(STAMPS)/python ## Resolve the Python packages again
	$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.13'
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet pyproject.toml --extra dev \
	  --generate-hashes --universal --python-version 3.11 --no-annotate --upgrade -o requirements.lock
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet tests/traffic/requirements.in \
	  --generate-hashes --universal --python-version 3.11 --no-annotate --upgrade -o tests/traffic/requirements.lock

# -- one more of a kind ---------------------------------------------------------------------------

.PHONY: new-protocol new-detection new-route new-page
new-protocol: ## Start a protocol: NAME=my-protocol
	@$(PYTHON) tools/new.py protocol "$(NAME)"
new-detection: ## Start a detection: NAME=policy/my-detection
	@$(PYTHON) tools/new.py detection "$(NAME)"
new-route: ## Start an API route: NAME=things
	@$(PYTHON) tools/new.py route "$(NAME)"
new-page: ## Start a console page: NAME=things
	@$(PYTHON) tools/new.py page "$(NAME)"

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf $(VENV) build core/target console/node_modules src/otic/console src/otic/_core*.so
