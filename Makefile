# `make demo` runs the main job on embedded data; `make test` runs the tests. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE  # else each of the tests' many processes compiles all modules

.PHONY: demo test test-slow test-ray test-newest lint types bench pictures clean

demo: $(VENV)/.installed
	$(BIN)/wavegan compare --recipe demo --fractions 0.5,0.2,0.3 --out runs/demo

# A file of tests to each of up to four processes: one more than cores, since each waits for disks
# and children a tenth of its time, and no more than fit the memory.
WORKERS = min(4, os.cpu_count() + 1, max(1, int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1.8e9)))
test: $(VENV)/.installed
	$(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder \
		--numprocesses $$($(BIN)/python -c 'import os; print($(WORKERS))')

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

# What runs on a cluster, on one of this machine: Ray is an extra.
test-ray: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[ray]'
	$(BIN)/python -m pytest -m slow -k cluster tests/experiments

# The newest of all that pyproject.toml allows, on this Python: make test-newest PYTHON=python3.13
test-newest:
	$(PYTHON) -m venv --clear $(VENV)-newest
	$(VENV)-newest/bin/pip install --quiet --upgrade --editable '.[dev]'
	$(VENV)-newest/bin/python -m pytest --dist loadfile --no-loadscope-reorder \
		--numprocesses $$($(VENV)-newest/bin/python -c 'import os; print($(WORKERS))')

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

# README's pictures; needs Chromium, and the spoken digits: make pictures FSDD=~/fsdd
FSDD ?= ../shared/data/fsdd
pictures: demo
	$(BIN)/wavegan audition digits --data $(FSDD) --count 2 --truncation 0.7 --between 0 --out runs/heard
	$(BIN)/python .ci/pictures.py runs/heard/index.html .github/audition.webp '#tiles'
	$(BIN)/python .ci/pictures.py runs/demo/report.html .github/report.webp

$(VENV)/.installed: pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-newest build dist *.egg-info
