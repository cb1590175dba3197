# Two commands: `make book` and `make test`. The environment is made when it is missing or its inputs changed.
VENV ?= .venv
PYTHON ?= python3
UV ?= uv
RUN = PYTHONPATH=$(CURDIR) $(VENV)/bin/python

.PHONY: book test lock clean

book: $(VENV)/ready
	$(RUN) -m src book

test: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The lock holds every package to the version that was tested; requirements.txt names the direct ones.
$(VENV)/ready: requirements.txt requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5) and "Python 3.11.5 or later is needed, PYTHON=... names it")'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c requirements.lock
	touch $@

# What .ci/run installs from: for each pinned version the SHA-256 of every file that the index lists, for all platforms.
# To be made anew when requirements.txt, requirements.lock or the build backend changes, with uv (`pip install uv`).
lock:
	(grep -v '^-e' requirements.txt; sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml) | \
	$(UV) --quiet pip compile - --constraints requirements.lock --universal --python-version 3.11.5 \
	    --generate-hashes --only-binary :all: --no-header --no-annotate --output-file .ci/hashes.lock

clean:
	rm -rf outputs _build .pytest_cache .ruff_cache
