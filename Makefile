# Two commands do all the set-up: `make demo` and `make test`. Each makes .venv if it is missing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MINOR   = $(shell $(PYTHON) -c 'import sys; print(f"py{sys.version_info.major}{sys.version_info.minor}")')
PINS    = constraints/$(MINOR).txt
# ship the demo's model and returns; their own dependencies are not needed, only their files
FILES := rapidocr==3.10.0 arch==8.0.0

.PHONY: demo test lint bench clean
.DELETE_ON_ERROR:

$(VENV)/ready: pyproject.toml $(wildcard constraints/*.txt)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Edgemill builds with Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say: make PYTHON=python3.11 …")'
	@test -f $(PINS) || { echo "no pinned versions for $(MINOR); there are: $$(ls constraints). Say: make PYTHON=python3.11 …"; exit 3; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(PINS) --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(FILES)
	@touch $@

demo: $(VENV)/ready
	$(BIN)/edgemill demo

test: $(VENV)/ready
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/ready
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) demo-out bench-out build dist .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
