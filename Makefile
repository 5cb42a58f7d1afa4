# Every target sets up .venv once; later calls start at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-browser check bench fuzz kill docs clean

demo: $(VENV)/.base
	$(BIN)/headtail demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --cov --cov-report=term

# Screenshots stay in build/screenshots, or in the folder HEADTAIL_SCREENSHOTS.
test-browser: $(VENV)/.dev
	.ci/install_browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m browser tests/browser

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Seconds for each loader.
FUZZ_SECONDS ?= 60

fuzz: $(VENV)/.fuzz
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.fuzz --seconds $(FUZZ_SECONDS)

# Moments at which each command is killed, and the seed that draws them.
KILL_MOMENTS ?= 100
KILL_SEED ?= 0

kill: $(VENV)/.dev
	$(BIN)/python -m tools.kill --moments $(KILL_MOMENTS) --seed $(KILL_SEED)

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) -e ".[dev]"
	touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	$(PIP) "atheris>=2.3"
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(PIP) -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build site .mypy_cache .pytest_cache .ruff_cache .coverage
