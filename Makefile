# Needs make and Python 3.11 or newer. Everything else goes into $(VENV), by that Python's own venv and pip, in the releases
# that requirements/*.txt name with their hashes: a fresh clone installs tomorrow what was tested today.

PYTHON ?= python3
VENV ?= .venv
LISTEN ?= 127.0.0.1:8080
ADMIN ?= 127.0.0.1:8081
VERSIONS ?= 3.11 3.12 3.13
ARGS ?=
SCENARIO ?=
DURATION ?=
RATE ?=
WEB ?=
RECORD ?=
LATEST ?=
UPGRADE ?=

# LATEST=1: the newest releases that pyproject.toml allows, each time again, in a virtual environment of their own.
ifneq ($(filter-out 0,$(LATEST)),)
VENV := .venv-latest
endif

# Reports go below build/, RECORD=1: among the committed ones.
RECORDED = $(if $(filter-out 0,$(RECORD)),--record)

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-input
COMPILED_PIP := $(VENV)-compiled/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-input
# The locked releases of one purpose (run, load, wheel or dev). The lock is complete, so pip resolves nothing (--no-deps):
# otherwise it refuses the lock once a newer release of a package with extras is published. Wheels only: building another's
# sources would fetch what no lock names. The project itself comes last, built by what the lock has brought, without an index.
LOCKED = --require-hashes --no-deps --only-binary :all: -r requirements/$(1).txt
ifneq ($(filter-out 0,$(LATEST)),)
install = $(PIP_INSTALL) --upgrade --upgrade-strategy eager -e '.$(if $(filter-out run,$(1)),[$(1)])'
else
install = $(PIP_INSTALL) $(call LOCKED,$(1)) && $(PIP_INSTALL) --no-index --no-deps --no-build-isolation -e .
endif
# One file for each Python from 3.11 on and each platform, without the name of a registry.
LOCK = $(BIN)/uv pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --annotation-style line --custom-compile-command 'make upgrade' pyproject.toml
COMPILED_TESTS ?= tests/wire tests/property tests/faults $(wildcard tests/e2e/test_acceptance_*.py) $(patsubst \
    %,tests/e2e/test_%.py,each_reason phases shadow control_plane)
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: attacks oracles help run test test-protocols check lint types structure format docs bench soak tuning dashboards pictures test-all clean \
    load failures coverage test-processes traceability mutants bench-check bench-record peers peers-table \
    calls grants wheel compiled test-compiled lock upgrade sbom fuzz

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do printf '  make %-14s %s\n' "$$target" "$$text"; done

run: $(VENV)/.installed ## serve the demo: a fragile sidecar behind a gateway, with curl lines to try (LISTEN=, ADMIN=)
	@$(BIN)/gateway demo --listen $(LISTEN) --admin $(ADMIN)

test: $(VENV)/.installed-dev ## run all tests, three at a time on two cores (ARGS='-k limiter -x' goes to pytest; LATEST=1: newest releases)
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: lint types structure test ## style, types, structure and all tests

lint: $(VENV)/.installed-dev ## style and format, by ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## types, by mypy in strict mode, and whether the hot path can be compiled
	@$(BIN)/mypy
	@$(BIN)/python tests/meta/compilable.py

structure: $(VENV)/.installed-dev ## the rules of the house: imports, test mirror, words
	@$(BIN)/python -m pytest -q tests/meta

format: $(VENV)/.installed-dev ## put the code in its form, by ruff
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.installed ## write the generated parts of docs/ again, from the code and from measurements
	@$(BIN)/python docs/generator docs

# What make coverage runs. Alone: what each module does by itself. Together: the rooms whose tests need a database or a
# listener, in the tests' own process. Dialogues on sockets and whole processes are left out, because they would take twice
# the time when they are measured.
ALONE := tests/unit tests/property
TOGETHER := tests/store tests/admin

coverage: $(VENV)/.installed-dev ## over 90 % of all, 100 % of policies, buffers and framing (ARGS='-n 2')
	@COVERAGE_FILE=.coverage.alone $(BIN)/python -m pytest -q --cov --cov-report= $(ALONE) $(ARGS)
	@COVERAGE_FILE=.coverage.alone $(BIN)/coverage json -q -o - | $(BIN)/python tests/meta/full_coverage.py
	@COVERAGE_FILE=.coverage.together $(BIN)/python -m pytest -q --cov --cov-report= $(TOGETHER) $(ARGS)
	@$(BIN)/coverage combine -q .coverage.alone .coverage.together
	@$(BIN)/coverage report --fail-under=90

test-processes: $(VENV)/.installed-dev ## the tests that make coverage leaves out: dialogues, whole processes, pages, dashboards
	@$(BIN)/python -m pytest $(addprefix --ignore=,$(ALONE) $(TOGETHER)) $(ARGS)

mutants: $(VENV)/.installed-dev ## change the policies in every small way; the tests have to notice (ten minutes and more)
	@rm -rf mutants
	@$(BIN)/mutmut run
	@$(BIN)/python tests/meta/mutants.py

traceability: $(VENV)/.installed-dev ## write docs/traceability.md again, from docs/requirements.yaml and the tests
	@$(BIN)/python tests/meta/traceability.py

bench: $(VENV)/.installed ## what the gateway's own code costs per request, in microseconds
	@$(BIN)/python loadtest/micro/hot_path.py

calls: $(VENV)/.installed-dev ## five requests and five calls of an action at a limit of five, a thousand times, and what a call costs
	@CALLS_REPEATS=1000 $(BIN)/python -m pytest -q tests/faults/test_calls.py -k 'exactly or lost'
	@CALLS_FLEET_REPEATS=1000 $(BIN)/python -m pytest -q tests/e2e/test_actions.py -k four_workers
	@$(BIN)/python loadtest/micro/calls.py

grants: $(VENV)/.installed-dev ## four processes that get one token, and lose the one that asks, fifty times on each database (fifteen minutes; needs Node)
	@GRANT_ROUNDS=50 $(BIN)/python -m pytest -q tests/e2e/test_identity_provider.py -k one_refresh

bench-check: $(VENV)/.installed ## fail when the hot path takes more instructions than recorded (needs valgrind)
	@$(BIN)/python -m loadtest.micro.gate check --slower $(or $(SLOWER),0)

bench-record: $(VENV)/.installed ## record what the hot path takes now, for this Python (needs valgrind)
	@$(BIN)/python -m loadtest.micro.gate record

peers: $(VENV)/.installed $(VENV)-peers/.installed ## side by side with other proxies, into build/results (TARGETS=, CASES=, ROUNDS=, SECONDS=, RECORD=1)
	@$(BIN)/python -m loadtest.peers --targets '$(TARGETS)' --cases '$(CASES)' --rounds $(or $(ROUNDS),3) --seconds $(or $(SECONDS),4) $(RECORDED)

peers-table: $(VENV)/.installed ## write the table of docs/peers.md again, from the figures that were measured
	@$(BIN)/python -m loadtest.peers --write

fuzz: $(VENV)/.installed-dev $(VENV)-fuzz/.installed ## fuzz the parsers with atheris, into build/fuzz (TARGET=, SECONDS=60 for each)
	@PYTHONPATH=tests:$(VENV)-fuzz $(BIN)/python -m fuzz '$(TARGET)' $(or $(SECONDS),60)

soak: $(VENV)/.installed ## many aborts, very large bodies, a million requests, 10,000 mutants each: nothing leaks (an hour and more)
	@for case in aborts slow-reader slow-sender requests log kills spread mixed; do $(BIN)/python loadtest/soak.py $$case || exit 1; done
	@for case in aborts slow-reader slow-sender requests; do $(BIN)/python loadtest/soak.py $$case --https || exit 1; done
	@EDITS=1000 $(MAKE) test ARGS="-q -k many_changes_under_traffic"
	@TRUTH_REQUESTS=100000 $(MAKE) test ARGS="-q -n 0 tests/e2e/test_one_truth.py -k never_sees_more_than_the_limit"
	@MUTANTS=10000 $(MAKE) test ARGS="-q -k 'mutants_of or broken_re' tests/wire"

oracles: $(VENV)/.installed-dev $(VENV)-peers/.installed ## the same attacks at nginx, HAProxy, Envoy and Caddy, into build/oracles (NAMES=; RECORD=1: docs/oracles.md)
	@PYTHONPATH=tests:loadtest:. $(BIN)/python -m oracles $(if $(NAMES),--names '$(NAMES)') $(RECORDED)
	@$(if $(RECORDED),$(BIN)/python docs/generator docs)

attacks: $(VENV)/.installed-dev ## what hostile clients cost in memory and time; report in build/attacks (ARGS='silent --pairs 1')
	@$(BIN)/python loadtest/attacks.py $(ARGS)

tuning: $(VENV)/.installed-dev ## what settings are worth, into build/results (five minutes; ARGS='bursts --scale 0.5'; RECORD=1: for docs/tuning.md)
	@$(BIN)/python loadtest/tuning.py $(ARGS) $(RECORDED)

load: $(VENV)/.installed-load ## locust scenarios against a real gateway (SCENARIO=steady or all, DURATION=, RATE=, WEB=1, RECORD=1; alone: a list)
	@PYTHONPATH=loadtest $(BIN)/python -m load $(SCENARIO) $(if $(DURATION),--duration $(DURATION)) $(if $(RATE),--rate $(RATE)) $(if $(WEB),--web) $(RECORDED)

failures: $(VENV)/.installed-dev ## failing endpoints, overload, stalls and hedges, beside HAProxy, nginx and Envoy, into build/results (four minutes; TARGETS=, PART=, RECORD=1)
	@PYTHONPATH=loadtest:. $(BIN)/python -m failures $(if $(TARGETS),--targets '$(TARGETS)') $(if $(PART),--part $(PART)) $(RECORDED)

dashboards: $(VENV)/.installed ## write grafana/dashboards again, from grafana/generator
	@$(BIN)/python grafana/generator grafana/dashboards

pictures: $(VENV)/.installed-dev ## draw docs/images again, those of the page in a real Chromium
	@$(BIN)/python -m pytest -q tests/page/pictures.py
	@$(BIN)/python loadtest/adaptive.py

wheel: $(VENV)/.installed-wheel ## a wheel for this Python and platform in dist/, with the hot path compiled (needs a C compiler; two minutes)
	@rm -rf build/wheel dist/*.whl && mkdir -p build/wheel dist && cp -R pyproject.toml README.md gateway migrations build/wheel
	@HATCH_BUILD_HOOKS_ENABLE=true $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-index --no-deps \
	    --no-build-isolation --no-cache-dir -w dist ./build/wheel

compiled: $(VENV)-compiled/.installed ## the same gateway with its hot path compiled, in $(VENV)-compiled/bin/gateway

# Without the checkout on the path, so that what is tested is what was compiled. What replaces a method of a class, or
# inherits from one, only works on interpreted code.
test-compiled: $(VENV)-compiled/.installed-dev ## the tests of the data plane, on the compiled gateway
	@$(VENV)-compiled/bin/python -P -c 'from gateway.core.version import COMPILED; assert COMPILED'
	@PYTHONSAFEPATH=1 $(VENV)-compiled/bin/python -m pytest -o pythonpath='tests loadtest' -m 'not interpreted' \
	    $(COMPILED_TESTS) $(ARGS)

test-protocols: $(VENV)/.installed-dev ## the dialogues of tests/wire, tests/faults and tests/e2e that make test holds over plain TCP alone, over TLS and HTTP/2
	@TESTS_OVER=tls $(BIN)/python -m pytest -n auto tests/wire tests/faults tests/e2e/test_acceptance_*.py -m 'not protocols' $(ARGS)
	@TESTS_OVER=h2 $(BIN)/python -m pytest -n auto tests/wire tests/faults tests/e2e/test_acceptance_*.py \
	    -m 'not protocols and not raw and not http1' $(ARGS)

test-all: ## all tests on each Python of VERSIONS='3.11 3.12 3.13' that this machine has
	@for version in $(VERSIONS); do \
	    if python=$$(.ci/find-python $$version); then \
	        echo "== Python $$version: $$python"; \
	        $(MAKE) test PYTHON="$$python" VENV=.venv-$$version || exit 1; \
	    else echo "== Python $$version: not found on this machine, not tested"; fi; \
	done

lock: $(VENV)/.installed-dev ## add what pyproject.toml newly names to requirements/*.txt, and change nothing else there
	@$(LOCK) --all-extras requirements/build.in requirements/wheel.in -o requirements/dev.txt
	@$(LOCK) -c requirements/dev.txt requirements/build.in -o requirements/run.txt
	@$(LOCK) -c requirements/dev.txt --extra load requirements/build.in -o requirements/load.txt
	@$(LOCK) -c requirements/dev.txt requirements/build.in requirements/wheel.in -o requirements/wheel.txt

upgrade: ## lock the newest releases that pyproject.toml allows (requirements/*.txt); make test LATEST=1 tries them first
	@$(MAKE) lock UPGRADE=--upgrade

# From a virtual environment that holds the lock alone: licences and dependencies are read from the releases themselves.
# The version of the project stands in its code, where the tool does not look.
sbom: $(VENV)/.installed-dev ## list what the gateway is made of, in CycloneDX: build/sbom.cdx.json
	@rm -rf build/sbom && mkdir -p build && $(PYTHON) -m venv --without-pip build/sbom
	@$(BIN)/python -m pip --python build/sbom/bin/python install --quiet --quiet --disable-pip-version-check --no-input $(call LOCKED,run)
	@version=$$($(BIN)/python -c 'import gateway; print(gateway.__version__)') && \
	    sed "s/^dynamic = .*/version = \"$$version\"/" pyproject.toml > build/sbom/pyproject.toml
	@$(BIN)/cyclonedx-py environment --pyproject build/sbom/pyproject.toml --mc-type application --output-reproducible \
	    --output-format JSON --output-file build/sbom.cdx.json build/sbom/bin/python
	@rm -rf build/sbom
	@$(BIN)/python tests/meta/sbom.py build/sbom.cdx.json
	@echo "written: build/sbom.cdx.json"

clean: ## remove the virtual environments, caches and builds
	@rm -rf .venv .venv-* build dist mutants .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	@find gateway tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a second call costs nothing until pyproject.toml or the lock changes. The install is editable, so code needs none.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Breakwater needs Python 3.11 or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 | head -n 1)."; \
	    echo "Name another one: make PYTHON=/path/to/python3.12 ..."; exit 1; } >&2
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml requirements/run.txt $(if $(filter-out 0,$(LATEST)),ALWAYS) | $(VENV)/.created
	@echo "installing breakwater-gateway into $(VENV)"
	@$(call install,run)
	@touch $@

$(VENV)/.installed-load: pyproject.toml requirements/load.txt $(if $(filter-out 0,$(LATEST)),ALWAYS) | $(VENV)/.created
	@echo "installing breakwater-gateway and locust into $(VENV)"
	@$(call install,load)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-wheel: pyproject.toml requirements/wheel.txt | $(VENV)/.created
	@echo "installing what compiles breakwater-gateway into $(VENV)"
	@$(call install,wheel)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml requirements/dev.txt $(if $(filter-out 0,$(LATEST)),ALWAYS) | $(VENV)/.created
	@echo "installing breakwater-gateway and its development tools into $(VENV)"
	@$(call install,dev)
	@touch $@ $(VENV)/.installed $(VENV)/.installed-load $(VENV)/.installed-wheel

$(VENV)-peers/.installed: loadtest/peers/requirements.txt
	@echo "installing the peers that are on PyPI into $(VENV)-peers"
	@$(PYTHON) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-input -r $<
	@touch $@

# Beside the other tools, not among them: it has wheels for few platforms.
$(VENV)-fuzz/.installed: tests/fuzz/requirements.txt $(VENV)/.installed-dev
	@echo "installing the fuzzer into $(VENV)-fuzz"
	@$(PIP_INSTALL) --upgrade --target $(VENV)-fuzz --require-hashes --only-binary :all: --no-deps -r $<
	@touch $@

$(VENV)-compiled/.installed: pyproject.toml requirements/run.txt $(shell find gateway migrations -name "*.py")
	@echo "compiling the hot path into $(VENV)-compiled"
	@$(MAKE) wheel
	@$(PYTHON) -m venv --clear $(VENV)-compiled
	@$(COMPILED_PIP) $(call LOCKED,run)
	@$(COMPILED_PIP) --no-index --no-deps dist/*-cp*-linux_*.whl
	@touch $@

$(VENV)-compiled/.installed-dev: $(VENV)-compiled/.installed requirements/dev.txt
	@$(COMPILED_PIP) $(call LOCKED,dev)
	@touch $@

.PHONY: ALWAYS
ALWAYS:
