# Every target sets itself up: a fresh clone needs Python 3.11 or newer and nothing else.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
READY := $(VENV)/.ready
export MPLBACKEND := Agg

.PHONY: setup demo study test new-user kill-test fuzz soak lint bench browser docs audit sbom clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --disable-pip-version-check --no-compile --constraint constraints.txt --editable ".[dev]" \
	  > $(VENV)/setup.log 2>&1 || (tail -n 20 $(VENV)/setup.log && false)
	@# pip would use one core. Some files are of another Python's syntax: nothing imports them.
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $(READY)

# Everything on the fabricated cohorts: about three minutes on two CPU cores.
demo: $(READY)
	@$(BIN)/kedro run

# A grid of objectives and seeds on one cohort, then their comparison; finished cells aren't run again.
# make study ENV=pad_ufes_20_study PARAMS=features.fields=always_present
study: $(READY)
	@$(BIN)/kedro study $(if $(ENV),--env=$(ENV)) $(if $(PARAMS),--params=$(PARAMS))

test: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 browser lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

# 30 kills at moments drawn at random, each gone on with and compared with a run that nothing ended: about five minutes.
# make kill-test SEED=7
kill-test: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/end_to_end/kills.py $(if $(SEED),--seed $(SEED))

# README and tutorial, command by command, in an empty folder with a home of its own: installs everything, needs a network.
# make new-user KEEP=/tmp/new_user; SMALL=1: every run by the environment `test`, without its figures
new-user:
	@$(PYTHON) tests/new_user/walk.py $(if $(KEEP),--keep $(KEEP)) $(if $(SMALL),--small)

# A million inputs to what reads others' files: none may raise anything but a declared error. About half an hour on two cores.
# make fuzz INPUTS=20000 SEED=7
fuzz: $(READY)
	@$(BIN)/python tests/fuzz/run.py $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED))

# 200 runs in one project: what grows with them. About fifteen minutes.
soak: $(READY)
	@$(BIN)/python tests/soak/run.py $(if $(RUNS),--runs $(RUNS))

lint: $(READY)
	@$(BIN)/ruff format --check --quiet . || (echo "run: ruff format ." && false)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log || (cat $(VENV)/lint-imports.log && false)
	@echo "format, lint, types, layers: fine"

# The page is tested in a real browser, and a run's connections are noted by strace, where these can be installed.
browser:
	@{ command -v chromium || command -v google-chrome; } >/dev/null && command -v strace >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq >/dev/null && \
	    apt-get install -y -qq --no-install-recommends chromium chromium-driver strace >/dev/null 2>&1; } || \
	  echo "no Chromium or no strace: tests that need them will be skipped"

bench: $(READY)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[bench]"
	@$(BIN)/python benchmarks/run.py

# A broken link or anchor, or any other warning, fails it. To search the site, serve it: python3 -m http.server --bind 127.0.0.1 --directory site
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict > $(VENV)/docs.log 2>&1 || (grep -v INFO $(VENV)/docs.log && false)
	@echo "site/index.html"

# Known vulnerabilities of the pinned libraries, and a list of them all for those who look after a hospital's software.
audit: $(READY)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[audit]"
	@.ci/audit $(BIN)

sbom: $(READY)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[audit]"
	@$(BIN)/cyclonedx-py requirements constraints.txt --pyproject pyproject.toml --output-reproducible \
	  --output-format JSON --output-file sbom.cdx.json && echo "sbom.cdx.json"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
