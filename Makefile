# Every target that needs Python first makes .venv; every one that needs Pulumi first gets an engine.

.DEFAULT_GOAL := help
# Imports are slow where nothing may be cached, and the engine starts many Pythons.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PY := $(BIN)/python
# Keeps the output of tests that run side by side apart, where this make can (GNU make 4).
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
COMPILE := uv pip compile --generate-hashes --python-version 3.11 --universal --quiet \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
LOCKED := aws gcp azure kubernetes

.PHONY: help
help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up preview down
up: engine ## Bring up the dev stack: emulated clouds, real engine, one curl at the end
	@$(BIN)/gpuplane dev up

preview: engine ## Show what `make up` would make and what it would cost
	@$(BIN)/gpuplane dev preview

down: engine ## Destroy the dev stack and stop the emulators
	@$(BIN)/gpuplane dev down

.PHONY: venv engine
venv: ## Install Python packages into .venv; EXTRAS="kubernetes aws" adds SDKs, which stay
	@EXTRAS="$(EXTRAS)" requirements/install.sh

engine: venv ## Put a working Pulumi engine on this machine
	@$(PY) -m engine ensure

.PHONY: check
check: venv ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test test-unit test-engine test-crash test-faults
test: engine ## All tests; the parts that keep both cores busy by themselves run one after the other
	@failed=; run="$(MAKE) --no-print-directory --keep-going"; \
	$$run -j2 $(SYNC) test-crash test-engine test-faults test-unit || failed=1; \
	$$run test-gateway test-gateway-faults || failed=1; \
	$$run test-kubernetes || failed=1; \
	$$run test-policies || failed=1; \
	$$run test-peers || failed=1; \
	test -z "$$failed"

test-unit: venv ## Tests that start no engine
	$(PY) -m pytest tests/unit policies tests/contract tests/contract_client tests/test_hygiene.py

test-engine: engine ## Tests that run the real engine
	$(PY) -m pytest tests/engine

test-faults: engine ## Everything that a cloud can do wrong, on every cloud; nothing may be left behind
	$(PY) -m pytest tests/faults

# Three lanes on one Slurm cluster, each with a SkyPilot server of its own.
PEERS_LIFE := $(addprefix tests/peers/,test_auth_live.py test_stack_tenants.py test_stack_life.py)
PEERS_SERVER := $(addprefix tests/peers/,test_stack_example.py test_sky_pilot_pod.py)

.PHONY: test-peers test-peers-life test-peers-server test-peers-rest bench-skypilot
test-peers: engine ## SkyPilot's real server on a real Slurm cluster with fake GPUs (docs/peers.md)
	@$(MAKE) --no-print-directory --keep-going -j3 $(SYNC) test-peers-life test-peers-server test-peers-rest

test-peers-life: engine
	GPUPLANE_PEERS_LANE=life $(PY) -m pytest $(PEERS_LIFE) --durations=5

test-peers-server: engine
	GPUPLANE_PEERS_LANE=server $(PY) -m pytest $(PEERS_SERVER) --durations=5

test-peers-rest: engine
	GPUPLANE_PEERS_LANE=rest $(PY) -m pytest tests/peers $(addprefix --ignore=,$(PEERS_LIFE) $(PEERS_SERVER)) --durations=5

bench-skypilot: venv ## What calls of the SkyPilot client take at a real server (ARGS="--yes" lets it start one)
	@$(PY) -m benchmarks.skypilot_client $(ARGS)

.PHONY: test-gateway test-gateway-faults bench-gateway
test-gateway: venv ## The gateway as a process, against stand-in nodes; clients that others wrote (needs Go and Node)
	$(PY) -m pytest tests/gateway --ignore=tests/gateway/faults --durations=5

test-gateway-faults: venv ## Kills of gateway, nodes, Redis and PostgreSQL in mid-load; the ledger keeps its word
	$(PY) -m pytest tests/gateway/faults --durations=5

bench-gateway: venv ## The gateway's CPU time against a bare proxy (ARGS="--check", "--seconds 8", "--lanes litellm")
	@$(PY) -m benchmarks.gateway $(ARGS)

# Two of four lanes at a time: pipelines for CI, nodes on the emulators, state in PostgreSQL, Kubernetes with the SDKs.
IN_POLICIES := $(addprefix test-policies-,pipelines nodes backends kubernetes)

.PHONY: test-policies $(IN_POLICIES)
test-policies: kubernetes-programs ## Policies, reports of previews, pipelines for CI, state in PostgreSQL
	@$(MAKE) --no-print-directory --keep-going -j2 $(SYNC) $(IN_POLICIES)

test-policies-nodes: engine
	$(PY) -m pytest tests/policies/test_on_nodes.py tests/previews/test_report_life.py --durations=5

test-policies-pipelines: engine
	$(PY) -m pytest tests/previews/test_pipelines.py tests/previews/test_pipelines_files.py --durations=5

test-policies-backends: engine
	$(PY) -m pytest tests/previews/test_backends.py --durations=5

test-policies-kubernetes: kubernetes-programs
	$(SDKS)/bin/python -m pytest tests/policies/test_on_kubernetes.py --durations=5

test-crash: engine ## Kill engine and host at every cut point; nothing may leak
	$(PY) -m pytest tests/crash

.PHONY: test-live
test-live: venv ## One node on each real cloud that there is a key for (ARGS="--max-usd 2"); never in CI
	@$(PY) -m pytest tests/live -qs $(ARGS)

.PHONY: kubernetes-up kubernetes-down kubernetes-programs
kubernetes-up: venv ## A real Kubernetes API on 127.0.0.1 with fake GPU nodes; prints its kubeconfig
	@$(PY) -m engine kubernetes up $(ARGS)

kubernetes-down: venv ## Stop it
	@$(PY) -m engine kubernetes down

# What tests/kubernetes imports, in an environment of its own: every run of the engine starts the plugin of every SDK
# that the program's environment has.
SDKS := .venv-sdks
KUBERNETES_EXTRAS := aws azure gcp kubernetes

kubernetes-programs: engine
	@VENV=$(SDKS) EXTRAS="$(KUBERNETES_EXTRAS)" requirements/install.sh
	@$(SDKS)/bin/python -m engine ensure
	@$(SDKS)/bin/python -m engine kubernetes build

# Three lanes at a time, each with a cluster of its own if it needs one. They wait a lot: two would leave cores idle.
SERVICES := databases/test_on_the_api.py model_server skypilot_server/test_on_the_api.py skypilot_server/test_stack_file.py
IN_KUBERNETES := $(addprefix tests/kubernetes/,$(SERVICES))
DECLARED := $(addprefix components/test_,declared_clusters.py examples.py safe_defaults.py) \
	databases/test_declared.py skypilot_server/test_declared.py
ON_CLOUDS := $(addprefix tests/kubernetes/,standins $(DECLARED) wrong_programs)

.PHONY: test-kubernetes test-kubernetes-services test-kubernetes-clouds test-kubernetes-rest
test-kubernetes: kubernetes-programs ## Everything for Kubernetes, on a real API (the first run builds it)
	@$(MAKE) --no-print-directory --keep-going -j3 $(SYNC) \
		test-kubernetes-clouds test-kubernetes-services test-kubernetes-rest

test-kubernetes-services: kubernetes-programs
	$(SDKS)/bin/python -m pytest $(IN_KUBERNETES) $(ARGS)

test-kubernetes-clouds: kubernetes-programs
	$(SDKS)/bin/python -m pytest $(ON_CLOUDS) $(ARGS)

test-kubernetes-rest: kubernetes-programs
	$(SDKS)/bin/python -m pytest tests/kubernetes $(addprefix --ignore=,$(IN_KUBERNETES) $(ON_CLOUDS)) $(ARGS)

.PHONY: bench-fleet
bench-fleet: engine ## 64 nodes, this project against the SDK's own host (ARGS="--nodes 1000" for more)
	@$(PY) -m benchmarks.fleet $(ARGS)

.PHONY: lock
lock: ## Pin every package again (needs uv); UPGRADE=--upgrade takes newer versions
	$(COMPILE) $(UPGRADE) pyproject.toml --extra dev -o requirements/dev.txt
	for extra in $(LOCKED); do $(COMPILE) $(UPGRADE) pyproject.toml --extra $$extra -o requirements/$$extra.txt || exit 1; done
	$(COMPILE) $(UPGRADE) requirements/skypilot.in -o requirements/skypilot.txt

.PHONY: clean
clean: ## Remove .venv, state and caches of this checkout (after make down)
	@if [ -e .gpuplane/emulators/endpoints.json ]; then echo "The dev stack may be up: run make down first."; exit 1; fi
	@if [ -e .gpuplane/kubernetes/cluster.json ]; then echo "The Kubernetes API may be up: run make kubernetes-down first."; exit 1; fi
	rm -rf .venv .venv-sdks .gpuplane .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
