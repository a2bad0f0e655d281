# What to type. Longer steps lie in .ci/; each target installs what it needs and nothing more.
.DEFAULT_GOAL := help
.PHONY: help demo setup test lint format bench faults settings lock assets
BIN := .venv/bin
COMPILE := .tools/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 16

demo:  ## the main job, start to end, on this machine, with nothing to install
	@.ci/setup requirements-run.lock
	@$(BIN)/dibao demo

setup:  ## .venv with everything: to run, to test, to lint
	@.ci/setup requirements.lock

test: assets  ## all tests, with the servers they talk to
	@.ci/servers
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist loadfile $(PYTEST)

lint: setup  ## style, types, import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let the formatter have its way
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: setup  ## messages per second, beside Postfix's smtp-source
	@.ci/servers
	$(BIN)/python -m tests.bench.send $(BENCH)

faults: setup  ## strike processes while they send, then count; FULL=1 the whole matrix and docs/faults.md
	@.ci/servers
	$(if $(FULL),$(BIN)/python -m tests.faults.matrix --full $(FAULTS),$(BIN)/python -m pytest tests/faults/test_matrix.py $(PYTEST))

settings: setup  ## .env.example and the table of settings, from mailer/kit/settings.py
	$(BIN)/python -m tests.written_settings

lock: .tools/bin/uv  ## newest versions that pyproject.toml allows, with their hashes
	$(COMPILE) --upgrade pyproject.toml --group build --group dev -o requirements.lock
	$(COMPILE) --upgrade pyproject.toml --group build -c requirements.lock -o requirements-run.lock

.tools/bin/uv:
	python3 -m pip install --quiet --target .tools uv

assets: setup node_modules/.package-lock.json  ## test oracles from npm, as package-lock.json has them

node_modules/.package-lock.json: package-lock.json
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
