# The commands of this repository. Needs Python 3.11 or newer and make, and nothing else; `make help` lists them.
#
# Everything is installed into .venv. The stamps in there say what is installed, so that nothing is installed again
# until pyproject.toml changes. pip speaks on standard error only: a command's standard output is the command's own.

PYTHON ?= python3
VENV ?= .venv
# How many test processes. ARGS come last, so `make test ARGS="-n 0 tests/queue"` wins.
WORKERS ?= 2
ARGS ?=

BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two recipes must not install into one environment at once, and `make -j check test` must still print in order.
.NOTPARALLEL:
.PHONY: help demo test check lint format types floors bench docs clean

help: ## List these commands (the default).
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHON=python3.12   the interpreter to make .venv with, 3.11 or newer (now: $(PYTHON))'
	@echo '  ARGS="..."          more arguments for the command, for example: make demo ARGS="--once --json"'

demo: $(VENV)/.demo-stamp ## Run the demo shop. ARGS="--once --json" runs it once and prints what happened.
	@exec $(BIN)/undercroft demo $(ARGS)

test: $(VENV)/.dev-stamp ## Run every test, the documents' code blocks too. ARGS="tests/queue -k cron" runs some.
	@UNDERCROFT_MAKE_TEST=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# `make -k check` goes on after a failure, to show all of them at once.
check: lint format types floors ## Check style, format, types and the floors' import rules.

lint: $(VENV)/.dev-stamp
	@$(BIN)/ruff check .

format: $(VENV)/.dev-stamp
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev-stamp
	@$(BIN)/mypy

floors: $(VENV)/.dev-stamp
	@$(BIN)/lint-imports

bench: $(VENV)/.dev-stamp ## Measure one group against its peers: ARGS="spine --json"; ARGS=--list lists the groups.
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.dev-stamp ## Build the documents into site/; a broken link fails.
	@$(BIN)/zensical build --clean --strict $(ARGS)

clean: ## Remove what these commands made: .venv, caches, site, build, dist.
	@rm -rf $(VENV) site build dist .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find bench src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A version such as 3.12 when $(PYTHON) is new enough, nothing when it is too old or absent.
PYTHON_FOUND = $(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
PYTHON_OK = $(shell "$(PYTHON)" -c 'import sys; print("ok" if sys.version_info >= (3, 11) else "")' 2>/dev/null)
PYTHON_ERROR = $(PYTHON) is $(if $(PYTHON_FOUND),Python $(PYTHON_FOUND),not a Python that runs), and undercroft needs \
	3.11 or newer: name one, as in `make $(or $(MAKECMDGOALS),demo) PYTHON=python3.12`

# Again after an interruption: `-m venv` completes what is there. pip 25.1 is the first that knows --group.
$(VENV)/.pip-stamp:
	$(if $(PYTHON_OK),,$(error $(PYTHON_ERROR)))
	@"$(PYTHON)" -m venv $(VENV) 1>&2
	@$(PIP) 'pip>=25.1' 1>&2
	@touch $@

$(VENV)/.demo-stamp: pyproject.toml | $(VENV)/.pip-stamp
	@echo 'undercroft: installing into $(VENV) ...' 1>&2
	@$(PIP) -e '.[demo]' 1>&2
	@touch $@

# Everything, so the demo's stamp too: installing again under running tests would break them.
$(VENV)/.dev-stamp: pyproject.toml | $(VENV)/.pip-stamp
	@echo 'undercroft: installing everything into $(VENV) ...' 1>&2
	@$(PIP) -e '.[all]' --group dev 1>&2
	@touch $(VENV)/.demo-stamp $@
