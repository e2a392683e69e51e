# The front door: `make demo` shows a model's year, `make test` proves that all of it works.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_VENV := .venv-demo
AUTOLOG_VENV := .venv-autolog
# Python keeps its bytecode, whatever the caller's environment says: a test run starts a thousand Pythons.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint soak bench lock clean

demo: $(DEMO_VENV)/ready  ## a year of a model's life on real data, in minutes
	examples/flights/demo.sh $(abspath $(DEMO_VENV))/bin

test: $(VENV)/ready lint  ## everything, in under 15 minutes on 2 cores
	$(BIN)/pytest -n 2 --dist worksteal -m "not soak"

lint: $(VENV)/ready  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/ready $(AUTOLOG_VENV)/ready  ## long, chaotic and large runs
	$(BIN)/pytest -m soak --timeout 3600

bench: $(VENV)/ready  ## Treadle beside its peers; see bench/RESULTS.md
	$(BIN)/python -m bench

lock:  ## renew the pinned versions (needs pip-tools)
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --extra platform --extra sklearn -o requirements/demo.lock pyproject.toml requirements/demo.in
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --allow-unsafe --extra platform --extra sklearn -o requirements/dev.lock pyproject.toml requirements/dev.in
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --extra platform --extra grpc -c requirements/dev.lock -o requirements/image.lock pyproject.toml
	pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header -o requirements/build.lock requirements/build.in

clean:  ## forget the virtual environments and the demo's state
	rm -rf $(VENV) $(DEMO_VENV) $(AUTOLOG_VENV) examples/*/.treadle examples/*/data examples/*/report.html

$(VENV)/ready: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(DEMO_VENV)/ready: requirements/demo.lock pyproject.toml
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/demo.lock
	$(DEMO_VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(AUTOLOG_VENV)/ready: requirements/autolog.txt
	$(PYTHON) -m venv $(AUTOLOG_VENV)
	$(AUTOLOG_VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements/autolog.txt
	touch $@
