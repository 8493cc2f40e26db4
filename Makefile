# Each target sets up all it needs: Python 3.11 or newer, git and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions that were tested; INSTALL=--pre for the newest, pre-releases included.
INSTALL ?= -c constraints.txt
# Many small processes: one thread each, and what one has compiled is kept for the others.
QUICKLY := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: quickstart test test-slow lint docs tutorials clean

quickstart: $(VENV)/.installed
	$(BIN)/python tutorials/quickstart.py

test: $(VENV)/.installed
	$(QUICKLY) $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# Damaged files by the thousand and killed fits: minutes; as many as SLOW says, such as "--cases 10000 --kills 30".
test-slow: $(VENV)/.installed
	$(QUICKLY) $(BIN)/python -m pytest --numprocesses auto tests/slow $(SLOW)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed
	$(BIN)/pip install --quiet $(INSTALL) -e . --group doc
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Anew, with their outputs: about ten minutes on two cores, and a download of 200 MB the first time.
tutorials: $(VENV)/.installed
	$(BIN)/jupyter execute --inplace tutorials/*.ipynb

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name it: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1" # the first that knows dependency groups
	$(BIN)/pip install --quiet $(INSTALL) -e ".[scale]" --group test
	@touch $@

clean:
	rm -rf $(VENV) quickstart docs/_build docs/api docs/tutorials tutorials/*.h5ad
