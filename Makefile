# Every target says what it does: make help.
PYTHON ?= python3
GATES = $(PYTHON) tests/environment/gates.py
RUN = $(PYTHON) tests/environment/run.py

.DEFAULT_GOAL := help

.PHONY: help
help: ## Say what can be made (this is the default)
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: ## Make the virtual environment; .lifeboat/venv leads to it
	$(PYTHON) tests/environment/virtualenvs.py

.PHONY: demo
demo: ## Show a disaster and the way back, on servers of its own (KEEP=1 leaves them running)
	$(RUN) python tests/environment/demo.py

.PHONY: test
test: ## Run all tests and gates (SKIP=name,... leaves some out)
	$(GATES) all

.PHONY: lint unit functional integration sanity docs package molecule molecule-all
lint: ## Style, types, changelog, ansible-lint
unit: ## Unit tests, by pytest and by ansible-test
functional: ## Tests on real PostgreSQL and MinIO servers
integration: ## ansible-test integration on real servers
sanity: ## ansible-test sanity on every supported Python, and on the oldest ansible-core
docs: ## Documentation of modules and roles; the site
package: ## Build, install and use the archive; galaxy-importer
molecule: ## Whole hosts with systemd, in containers
molecule-all: ## The same with the scenarios that take long (not part of make test)
lint unit functional integration sanity docs package molecule molecule-all:
	$(GATES) $@

.PHONY: gates
gates: ## List the gates; tests/environment/gates.py NAME runs one
	@$(GATES) --list

.PHONY: site
site: ## Build the documentation site below .lifeboat/site
	$(RUN) python tests/environment/docs_site.py .lifeboat/site

.PHONY: bench
bench: ## Measure against other tools
	$(RUN) python tests/benchmarks

.PHONY: soak
soak: ## Long random runs with faults (SOAK_S=seconds or SOAK_KILLS=number; SOAK_SEED=number repeats one)
	SOAK_S=$(SOAK_S) SOAK_KILLS=$(SOAK_KILLS) SOAK_SEED=$(SOAK_SEED) $(RUN) pytest -s tests/soak

.PHONY: changelog
changelog: ## Render CHANGELOG.md with what has come since
	$(PYTHON) tests/environment/changelog.py

.PHONY: clean
clean: ## Remove what the tools left in the checkout (the cache stays: see CONTRIBUTING.md)
	rm -rf .ansible .hypothesis .lifeboat .mypy_cache .pytest_cache .ruff_cache collections dist tests/output
	rm -f changelogs/.plugin-cache.yaml tests/integration/integration_config.yml tests/integration/inventory
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
