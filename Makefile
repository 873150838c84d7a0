# Needs Python 3.11 or newer and make, nothing else. `make demo` and `make test` set up what they need.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo demo-s3 test check bench faults pictures clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name yours: make setup PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: setup
	$(BIN)/python docs/demo.py

# the same specs on the same files, in a bucket of a local S3 server
demo-s3: setup
	$(BIN)/python docs/demo.py --s3

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not faults"

# writes docs/benchmarks.md
bench: setup
	$(BIN)/python -m tests.bench

# the fault harness in full length; writes docs/reliability.md, which says how to run less of it
faults: setup
	$(BIN)/python -m pytest -m faults -s

# the notebooks' stored outputs and the README's pictures, from real output; needs Chromium
pictures: setup
	$(BIN)/python docs/pictures.py

clean:
	rm -rf .venv .demo .bench
