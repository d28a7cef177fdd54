# `make demo` runs the main job on embedded data; `make test` runs the tests. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE  # else each of the tests' many processes compiles all modules

.PHONY: demo test test-slow test-newest lint types bench clean

demo: $(VENV)/.installed
	$(BIN)/wavegan compare --recipe demo --fractions 0.5,0.2,0.3 --out runs/demo

# Compiling takes most of the tests' time, on one core: a file of tests to each of up to four.
test: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

# The newest of all that pyproject.toml allows, on this Python: make test-newest PYTHON=python3.13
test-newest:
	$(PYTHON) -m venv --clear $(VENV)-newest
	$(VENV)-newest/bin/pip install --quiet --upgrade --editable '.[dev]'
	$(VENV)-newest/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt torch tensorflow
	$(BIN)/wavegan bench gan
	$(BIN)/wavegan bench features
	$(BIN)/wavegan bench classifiers

$(VENV)/.installed: pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-newest build dist *.egg-info
