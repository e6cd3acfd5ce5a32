# Everything a person types. `make` alone lists it. The first command that needs it sets up .venv from the lock
# files. Nothing outside this folder is touched but the caches of pip and uv; and `make test`, run as root, installs
# the Debian packages that are missing.

VENV := .venv
BIN := $(VENV)/bin
STARTED := $(shell date +%s)

# With the certificates of the system, an installation behind a company's proxy works too.
export UV_SYSTEM_CERTS ?= 1
# A DAGSTER_HOME would hide the dagster.yaml of this folder, and with it the history of earlier runs.
unexport DAGSTER_HOME
# dagster.yaml switches Dagster's telemetry off for this desk; without this, `dagster dev` still makes ~/.dagster and
# sends what other projects left there.
export DAGSTER_DISABLE_TELEMETRY := 1

# Debian packages that tests need: a browser, letters for its screenshots, a library of the browser's driver, and a
# MySQL server.
TEST_PACKAGES := chromium fonts-dejavu-core libatomic1 mariadb-server
UNTESTED_WITHOUT := the lineage UI in a browser, and everything on MySQL

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run dev sql test faults lint format bench lock calendar clean test-programs

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do \
		printf '%-16s%s\n' "$$name" "$$what"; done

run: $(VENV)/.run ## decide the newest session: data, forecasts, signals, paper orders, and a brief to read
	@test ! -e $(VENV)/.first || first=yes; rm -f $(VENV)/.first; \
	status=0; $(BIN)/bentleybot run || status=$$?; \
	echo "Installed in $(VENV): $$(du -sm $(VENV) | cut -f1) MB."; \
	test -z "$$first" || echo "From 'make run' to the brief, installation included: $$(($$(date +%s) - $(STARTED))) s."; \
	exit $$status

dev: $(VENV)/.run ## the Dagster UI on http://127.0.0.1:3000, with the runs so far
	$(BIN)/dagster dev

sql: $(VENV)/.run ## a prompt for queries over all tables
	@$(BIN)/bentleybot sql

test: $(VENV)/.dev test-programs ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -q -ra

faults: $(VENV)/.dev ## every fault point that `make test` only samples
	$(BIN)/python -m pytest -n 2 -q -ra -m sweep

lint: $(VENV)/.dev ## style, types and import directions
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## rewrite the code in the project's style
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format

bench: $(VENV)/.dev ## speed, as ratios
	$(BIN)/python -m benchmarks

calendar: $(VENV)/.dev ## write the exchange's closures anew
	$(BIN)/python -m bentleybot_assets_tests.write_closures

# Every dependency with its hashes, for Python 3.11 and 3.12 and every system. The second file holds only what
# testing adds to the first; a package that the first wants on some systems alone may be in both, at one version.
# UPGRADE=--upgrade takes newer versions.
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --quiet $(UPGRADE)
lock: $(VENV)/.run ## resolve the dependencies of pyproject.toml into the lock files
	$(COMPILE) --group setup --extra production --output-file requirements.lock
	$(COMPILE) --all-extras --constraint requirements.lock \
		$$(sed -n 's/^\([^=]*\)==[^;]*$$/--no-emit-package \1/p' requirements.lock) --output-file requirements-dev.lock

clean: ## remove the installation and caches; your data in .bentleybot stays
	rm -rf $(VENV) dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .tmp_dagster_home_*
	find bentleybot_assets bentleybot_assets_tests -name __pycache__ -prune -exec rm -rf {} +

# --- installation: each stamp is made once and again when a lock file changes

define install
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --compile-bytecode -r $(1) || { \
		echo "uv could not install $(1); trying pip, which is slower and also reads pip.conf."; \
		$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r $(1); }
endef

$(VENV)/.uv:
	@for python in python3 python3.12 python3.11; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null || continue; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$$python-venv is missing: apt-get install $$python-venv" >&2; exit 1; }; \
		echo "Setting up $(VENV) with $$("$$python" --version)."; \
		"$$python" -m venv $(VENV) || exit 1; break; \
	done; \
	test -e $(BIN)/python || { echo "Python 3.11 or 3.12 is needed; python3 is $$(python3 --version 2>&1)." >&2; exit 1; }
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	@touch $(VENV)/.first $@

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/.uv
	@echo "Installing what the desk runs on (requirements.lock)."
	$(call install,requirements.lock)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q bentleybot_assets
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	@echo "Installing what testing adds (requirements-dev.lock)."
	$(call install,requirements-dev.lock)
	@touch $@

test-programs:
	@missing=$$(for package in $(TEST_PACKAGES); do \
		dpkg-query --show --showformat '$${db:Status-Status}' $$package 2> /dev/null | grep -q '^installed' || echo $$package; \
	done); \
	if test -z "$$missing"; then \
		exit 0; \
	elif command -v apt-get > /dev/null && test "$$(id -u)" = 0; then \
		echo "Installing" $$missing "for the tests."; \
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; } \
			> $(VENV)/apt.log 2>&1 || { cat $(VENV)/apt.log; exit 1; }; \
	elif ! command -v chromium > /dev/null || ! command -v mariadbd > /dev/null; then \
		echo "Missing (Debian: apt-get install $(TEST_PACKAGES)); not tested without: $(UNTESTED_WITHOUT)."; \
	fi
