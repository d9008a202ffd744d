# The one front door: `make` alone prints what there is. Needs Python 3.11+, make and the package registries.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

bin := .venv/bin

# Whatever the machine says, bytecode is kept (in .venv and __pycache__, which are ours): without it every start and
# every process of the tests compiles torch and all that it imports anew, some 10 s each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run demo test chaos lint format lock eval compose-up clean standalone dev gateway-venv

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: standalone ## install what is missing and start everything on http://127.0.0.1:8000
	@exec $(bin)/python -m services.standalone

demo: standalone ## start, add a sample PDF, ask a question, show the answer as it streams, stop
	@exec $(bin)/python scripts/demo.py

test: lint gateway-venv ## every check and every test (CI=true: a check that cannot run fails)
	PAGEWIRE_GATEWAY_VENV=$(CURDIR)/.venv-gateway $(bin)/python -m pytest $(PYTEST)

chaos: dev ## the long form of the tests that break things: 100 cuts, 500 disconnects, killed and stalled parts
	PAGEWIRE_CHAOS=1 $(bin)/python -m pytest tests/chaos -s -q

lint: dev ## style, types and the rules on who may import whom
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports

format: dev ## rewrite the code in the project's style
	$(bin)/ruff check --fix
	$(bin)/ruff format

lock: ## pin every dependency anew, with hashes (make lock LOCK=--upgrade takes the newest)
	scripts/lock $(LOCK)

eval: standalone ## measure the quality of the answers on all made-up handbooks
	$(bin)/python -m evals.handbook

compose-up: ## the same as services, each in its container, on http://127.0.0.1:8000
	@# one image after the other: built at once, retrieval and ingest each export torch's layer, which takes twice as long
	COMPOSE_PARALLEL_LIMIT=1 docker compose build
	docker compose up --wait
	@printf 'Pagewire: http://127.0.0.1:%s   (docker compose logs -f, docker compose down)\n' "$${PAGEWIRE_PORT:-8000}"

clean: ## remove what make has made here; documents (data/) stay
	rm -rf .venv .venv-gateway .venv-uv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis \
	  test-output build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# scripts/install ends at once when nothing has changed, so these always run; `.` is the project itself
standalone:
	@scripts/install .venv standalone .

dev:
	@scripts/install .venv dev .

gateway-venv:
	@scripts/install .venv-gateway gateway test .
