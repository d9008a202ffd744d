# The one front door: `make` alone prints what there is. Needs Python 3.11+, make and the package registries.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

bin := .venv/bin

# Whatever the machine says, bytecode is kept (in .venv and __pycache__, which are ours): without it every start and
# every process of the tests compiles torch and all that it imports anew, some 10 s each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run demo test unit coverage chaos lint format lock bench eval evals compose-up clean standalone dev gateway-venv

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: standalone ## install what is missing and start everything on http://127.0.0.1:8000
	@exec $(bin)/python -m services.standalone

demo: standalone ## start, add a sample PDF, ask a question, show the answer as it streams, stop
	@exec $(bin)/python scripts/demo.py

# The gateway's unit tests run where only the gateway's own packages are. Unit tests share nothing but the machine and run
# in two processes; all others one after the other. Those of containers, of whole systems that start and of workers that
# are killed run beside everything else, as for most of their minutes they wait: for the disk that images are unpacked to,
# and for leases to run out. Their output comes last.
gateway_tests := .venv-gateway/bin/python -m pytest tests/unit/gateway -n 2
unit_tests := $(bin)/python -m pytest tests/unit --ignore tests/unit/gateway -n 2
patient_tests := tests/e2e/test_compose.py tests/e2e/test_standalone.py \
  $(addprefix tests/chaos/test_,ingest.py shared_documents.py replacements.py)
slowest := --durations=15
export PAGEWIRE_GATEWAY_VENV := $(CURDIR)/.venv-gateway

unit: dev gateway-venv ## the tests that need no server
	$(gateway_tests)
	$(unit_tests)

test: lint gateway-venv ## every check and every test (CI=true: a check that cannot run fails); PYTEST='…' chooses some
ifdef PYTEST
	$(bin)/python -m pytest $(PYTEST)
else
	@mkdir -p test-output; \
	set -m; $(bin)/python -m pytest $(patient_tests) $(slowest) >test-output/patient.log 2>&1 & \
	patient=$$!; set +m; trap 'kill -INT $$patient 2>/dev/null && wait $$patient' EXIT; \
	$(gateway_tests) $(slowest); \
	$(unit_tests) $(slowest); \
	$(bin)/python -m pytest --ignore tests/unit $(addprefix --ignore ,$(patient_tests)) $(slowest); \
	echo 'waiting for the patient tests'; code=0; wait $$patient || code=$$?; trap - EXIT; \
	cat test-output/patient.log; exit $$code
endif

coverage: dev gateway-venv ## how much the tests that need no server run, with a floor (fail_under in pyproject.toml)
	$(gateway_tests) --cov --cov-report= --cov-fail-under=0
	$(unit_tests) --cov --cov-append

chaos: dev ## the long form of the tests that break things: 500 disconnects, 1,000 resets, 50 workers killed, Redis and Qdrant gone
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

bench: dev ## measure the relay beside the usual ways, for some 15 minutes on a quiet machine, and write the tables (BENCH='--streams 50' for a part)
	[ -x benchmarks/relay/.venv-litellm/bin/litellm ] || { python3 -m venv benchmarks/relay/.venv-litellm && \
	  benchmarks/relay/.venv-litellm/bin/pip install --quiet -r benchmarks/relay/requirements.txt; }
	$(bin)/python -m benchmarks.relay --results benchmarks/relay/results --readme README.md $(BENCH)

eval: standalone ## measure the quality of the answers on all made-up handbooks
	$(bin)/python -m evals.handbook

evals: dev ## measure what searches find, leg by leg, against the committed baseline, and write the tables (DATA=FOLDER, EVALS='--sets xquad')
	HF_HUB_OFFLINE=1 $(bin)/python -m evals.retrieval --data $(or $(DATA),../shared/data) --results evals/retrieval/results $(EVALS)

compose-up: ## the same as services, each in its container, on http://127.0.0.1:8000
	@# one image after the other: built at once, retrieval and ingest each export torch's layer, which takes twice as long
	COMPOSE_PARALLEL_LIMIT=1 docker compose build
	docker compose up --wait
	@printf 'Pagewire: http://127.0.0.1:%s   (docker compose logs -f, docker compose down)\n' "$${PAGEWIRE_PORT:-8000}"

clean: ## remove what make has made here; documents (data/) stay
	rm -rf .venv .venv-gateway .venv-uv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis \
	  .coverage test-output build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# scripts/install ends at once when nothing has changed, so these always run; `.` is the project itself
standalone:
	@scripts/install .venv standalone .

dev:
	@scripts/install .venv dev .

gateway-venv:
	@scripts/install .venv-gateway gateway test .
