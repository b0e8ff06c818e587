# Every target installs the pinned tools that it needs into .venv, .venv-fabric and .tools. Only a
# Rust toolchain, Python 3 and npm must be there beforehand.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
CARGO_DENY_VERSION := 0.20.2
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_DEB_VERSION := 3.8.0
CARGO_LAMBDA_VERSION := 1.9.2
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_ZIGBUILD_VERSION := 0.24.1
MDBOOK_VERSION := 0.5.4

# Zig links the deployed function: for the other architecture too, and for the glibc of
# provided.al2023 (AL2023 user guide), whatever glibc this machine has.
ZIG_VERSION := 0.16.0
GLIBC := 2.34

# `make dist` links the command line for this system: any Linux of the last ten years has this
# glibc. TARGET=x86_64-unknown-linux-musl makes a static program, after `rustup target add`.
TARGET ?= $(shell uname -m)-unknown-linux-gnu.2.17

# These variables are for `make package` and `make deploy`.
STACK ?= amiferry
ARCHITECTURE ?= arm64
PACKAGE := .aws-sam/lambda
PARAMETERS_FILE ?= .aws-sam/parameters.yaml

TARGET_DIR := $(abspath $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target))
BOOTSTRAP := $(TARGET_DIR)/debug/bootstrap
SANDBOX := $(TARGET_DIR)/debug/amiferry-sandbox
RIE := $(CURDIR)/.tools/aws-lambda-rie
PROGRAMS := AMIFERRY_SANDBOX_BIN=$(SANDBOX) AMIFERRY_BOOTSTRAP_BIN=$(BOOTSTRAP) \
    AMIFERRY_RIE_BIN=$(RIE)
# There are no examples, but `--examples` makes cargo resolve features as it does for tests.
# Otherwise a dev-dependency that adds a feature to tokio would have aws-sdk-ec2 compiled once for
# the programs and once more for the tests.
BUILD_PROGRAMS := cargo build --locked --workspace --bins --examples
# There are twice as many threads as processors, because some tests wait for other programs.
TEST_THREADS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
# `make least-privilege` reads here which calls the tests made to AWS's emulators. Any test may add
# a ledger.
LEDGERS := $(TARGET_DIR)/ledgers
# The duration of each test, for the list of the ten slowest.
TIMES := $(TARGET_DIR)/times
SAM := .tools/sam/bin
PICTURES := .tools/pictures/bin
TEMPLATES := template.yaml templates/target-role.yaml templates/config-rules.yaml
# `make lint` has scripts/prose read these files and folders.
PROSE := $(wildcard *.md *.toml *.txt) Makefile .cargo .ci .github docs template.yaml templates
PROSE += bench demo events scripts statemachine tests/pages
PROSE += cli src sandbox
PROSE += tests/behaviour tests/fabric terraform action.yml
CARGO_DENY := $(CURDIR)/.tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
MDBOOK := $(CURDIR)/.tools/mdbook-$(MDBOOK_VERSION)/bin/mdbook
BOOK := $(TARGET_DIR)/book
CARGO_DEB := $(CURDIR)/.tools/cargo-deb-$(CARGO_DEB_VERSION)/bin/cargo-deb
CARGO_CYCLONEDX := \
    $(CURDIR)/.tools/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)/bin/cargo-cyclonedx
CARGO_MUTANTS := $(CURDIR)/.tools/cargo-mutants-$(CARGO_MUTANTS_VERSION)/bin/cargo-mutants

# `make FAST=1 …` compiles aws-sdk-ec2 in two thirds of the time; see scripts/rustc-hint.
ifeq ($(FAST),1)
export RUSTC_WRAPPER := $(CURDIR)/scripts/rustc-hint
endif

.PHONY: help
help: ## Show this list
	@echo 'make TARGET [FAST=1]'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
	    sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | column -t -s '|'

.PHONY: demo
demo: .venv/ready $(RIE) ## Send events to the function on the sandbox, and kill it (ARGS='--help')
	$(BUILD_PROGRAMS)
	$(PROGRAMS) .venv/bin/python -m demo $(ARGS)

.PHONY: bench
bench: .venv/ready $(RIE) ## Measure distributions to 10, 100 and 1000 targets (release if built)
	$(BUILD_PROGRAMS)
	$(PROGRAMS) AMIFERRY_RELEASE_DIR=$(TARGET_DIR)/lambda/bootstrap \
	    .venv/bin/python -m bench $(ARGS)

.PHONY: test
test: .venv/ready $(RIE) ## Run all tests, also those of the deployed templates and their policies
	cargo test --locked --workspace --no-run
	$(BUILD_PROGRAMS)
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-computing test-waiting
	@scripts/slowest show $(TIMES)

.PHONY: test-computing
test-computing:
	scripts/slowest begin $(TIMES)
	$(PROGRAMS) RUST_TEST_THREADS=$(TEST_THREADS) AMIFERRY_TIMES=$(TIMES) \
	    cargo --config 'target."cfg(all())".runner = "$(CURDIR)/scripts/timed"' \
	    test --locked --workspace --no-fail-fast

# These tests mostly wait for other programs, so they run beside those that compute.
.PHONY: test-waiting
test-waiting:
	$(PROGRAMS) .venv/bin/python -m pytest -n $(TEST_THREADS) sandbox/tests/wire tests/pages
	$(MAKE) --no-print-directory least-privilege

# The inner loop needs nothing but a shell, so that it starts at once. Stop it with Ctrl-C.
CRATE ?= amiferry
FILTER ?=

.PHONY: watch
watch: ## Run the unit tests of CRATE (amiferry) whose names have FILTER, again at each change
	scripts/watch $(CRATE) $(FILTER)

TABLES := documents:: table:: pitfalls:: pages:: session::
TABLES += whole_image::the_table live_check::the_page scale::the

# Two schedules of faults take a second: `make chaos COUNT=5000 FIRST=100000`. With HARD=1 nearly
# every call fails for ever; these schedules write no table.
COUNT ?= 2000
FIRST ?= 0
HARD ?= 0

.PHONY: chaos
chaos: ## Play COUNT (2000) schedules of faults from seed FIRST (0), for docs/reliability.md
	AMIFERRY_CHAOS_FIRST=$(FIRST) AMIFERRY_CHAOS_COUNT=$(COUNT) AMIFERRY_CHAOS_HARD=$(HARD) \
	    $(if $(filter 0,$(HARD)),AMIFERRY_CHAOS_REPORT=$(CURDIR)/docs/reliability.md) \
	    cargo test --locked --workspace --test behaviour chaos::the_promises -- --nocapture

.PHONY: tables
tables: ## Write the tables of docs/ that tests compare with their results
	AMIFERRY_TABLES=1 cargo test --locked --workspace --test behaviour --test cli -- $(TABLES)

.PHONY: figures
figures: ## Play distributions to many targets, for bench/figures.json (a quarter of an hour)
	AMIFERRY_FIGURES=10000 cargo test --locked --workspace --profile figures --test behaviour \
	    scale::no -- --nocapture
	AMIFERRY_TABLES=1 cargo test --locked --workspace --test behaviour scale::the

.PHONY: pictures
pictures: $(PICTURES)/ready ## Draw the dashboard and a notice for docs/operations.md
	$(PICTURES)/python scripts/pictures

.PHONY: behaviour
behaviour: ## Write the names of the tests into docs/behaviour.md
	cargo test --locked --workspace --quiet -- --list | scripts/behaviour

.PHONY: docs
docs: $(MDBOOK) ## Make a book of the documents (target/book/html/index.html)
	scripts/book $(BOOK)
	$(MDBOOK) build $(BOOK)

# The whole takes days. SHARD=0/14 plays every fourteenth place, FILES='src/step.rs' the places in
# some files, PATCH=name the breaks of tests/mutants with that name, PATCH=all all of them, in two
# hours.
.PHONY: mutants
mutants: $(CARGO_MUTANTS) ## Break one place at a time, and see a test fail (SHARD, FILES or PATCH)
	scripts/mutants $(CARGO_MUTANTS) --shard '$(SHARD)' --files '$(FILES)' --patch '$(PATCH)'

.PHONY: fabric
fabric: .venv-fabric/ready $(SAM)/ready ## Deploy the templates on AWS's emulators and test them
	$(BUILD_PROGRAMS)
	$(PROGRAMS) AMIFERRY_LEDGERS=$(LEDGERS) \
	    .venv-fabric/bin/python -m pytest tests/fabric $(ARGS)

.PHONY: least-privilege
least-privilege: fabric ## Compare the permissions of the roles with the calls of the tests
	scripts/least-privilege $(LEDGERS)

.PHONY: verify
verify: lint test ## Do what CI does: lint, then test

.PHONY: lint
lint: fmt-check prose lint-templates clippy licences docs ## Check all that needs no test

.PHONY: lint-templates
lint-templates: $(SAM)/ready .tools/asl/ready .tools/hcl/ready ## Check what is deployed
	$(SAM)/cfn-lint --region us-west-2 --template $(TEMPLATES)
	for template in $(TEMPLATES); do \
	    SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-west-2 \
	        $(SAM)/sam validate --lint --template $$template; \
	done
	scripts/lint-machine .tools/asl/node_modules/.bin/asl-validator
	scripts/lint-terraform .tools/hcl/node_modules $(SAM)/cfn-lint

.PHONY: prose
prose: ## Check line widths, openings of comments and subjects of commits by docs/style.md
	scripts/prose $(PROSE)
	scripts/prose --commits

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check

.PHONY: clippy
clippy:
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/clippy \
	    cargo test --locked --workspace --all-targets --no-run

.PHONY: licences
licences: $(CARGO_DENY)
	$(CARGO_DENY) --locked check bans licenses sources

.PHONY: build
build: .venv/cargo-lambda-$(CARGO_LAMBDA_VERSION) ## Build the release `bootstrap` for this machine
	.venv/bin/cargo-lambda lambda build --locked --release --compiler cargo \
	    --output-format zip --bin bootstrap
	@scripts/check-bootstrap $(TARGET_DIR)/lambda/bootstrap/bootstrap.zip \
	    $(patsubst aarch64,arm64,$(shell uname -m)) $(GLIBC)
	@.venv/bin/python scripts/sizes $(TARGET_DIR)/lambda/bootstrap/bootstrap.zip

.PHONY: package
package: .venv/zig-$(ZIG_VERSION) ## Build `bootstrap` for ARCHITECTURE (arm64), ready to deploy
	PATH="$(CURDIR)/.venv/bin:$$PATH" cargo-lambda lambda build --locked --release --bin bootstrap \
	    --target $(patsubst arm64,aarch64,$(ARCHITECTURE))-unknown-linux-gnu.$(GLIBC) \
	    --lambda-dir $(PACKAGE)
	scripts/check-bootstrap $(PACKAGE)/bootstrap/bootstrap $(ARCHITECTURE) $(GLIBC)

.PHONY: dist
dist: .venv/zig-$(ZIG_VERSION) .venv/cargo-zigbuild-$(CARGO_ZIGBUILD_VERSION) $(CARGO_DEB) \
    $(CARGO_CYCLONEDX) ## Build the command line for TARGET: archive, .deb, SBOM, checksums
	PATH="$(CURDIR)/.venv/bin:$$PATH" cargo-zigbuild zigbuild --locked --release \
	    --package amiferry-cli --target $(TARGET)
	scripts/dist $(TARGET_DIR)/$(firstword $(subst ., ,$(TARGET)))/release/amiferry $(TARGET) \
	    $(TARGET_DIR)/dist $(CARGO_DEB) $(CARGO_CYCLONEDX)

.PHONY: parameters
parameters:
	@scripts/parameters $(PARAMETERS_FILE) Architecture=$(ARCHITECTURE) $(PARAMETERS)

.PHONY: deploy
deploy: $(SAM)/ready parameters package ## Deploy STACK (amiferry) with PARAMETERS ('Name=value …')
	SAM_CLI_TELEMETRY=0 $(SAM)/sam deploy --template-file template.yaml --stack-name $(STACK) \
	    --capabilities CAPABILITY_NAMED_IAM --resolve-s3 --no-fail-on-empty-changeset \
	    --parameter-overrides file://$(abspath $(PARAMETERS_FILE))

.PHONY: clean
clean: ## Remove all build results and installed tools
	rm -rf $(TARGET_DIR) .aws-sam .venv .venv-fabric .tools

# $(call venv,FOLDER) makes a virtual environment with the packages that the first prerequisite
# lists.
define venv
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	    echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $1
	$1/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
endef

.venv/ready: requirements-dev.txt
	$(call venv,.venv)

.venv-fabric/ready: requirements-fabric.txt
	$(call venv,.venv-fabric)

$(SAM)/ready: scripts/requirements-sam.txt
	$(call venv,.tools/sam)

$(PICTURES)/ready: scripts/requirements-pictures.txt
	$(call venv,.tools/pictures)

.tools/%/ready: scripts/%/package.json scripts/%/package-lock.json
	@command -v npm >/dev/null || { \
	    echo "npm is missing; on Debian: apt-get install npm" >&2; exit 1; }
	mkdir -p $(@D)
	cp $^ $(@D)
	cd $(@D) && npm ci --silent --no-audit --no-fund
	@touch $@

.venv/zig-$(ZIG_VERSION): .venv/cargo-lambda-$(CARGO_LAMBDA_VERSION)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check \
	    ziglang==$(ZIG_VERSION)
	@touch $@

# Without `--no-deps` cargo-lambda would install some version of Zig, a hundred megabytes that
# `--compiler cargo` does not use.
.venv/cargo-lambda-$(CARGO_LAMBDA_VERSION): .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    cargo-lambda==$(CARGO_LAMBDA_VERSION)
	@touch $@

.venv/cargo-zigbuild-$(CARGO_ZIGBUILD_VERSION): .venv/ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    cargo-zigbuild==$(CARGO_ZIGBUILD_VERSION)
	@touch $@

$(RIE): scripts/rie scripts/requirements-rie.txt | .venv/ready
	.venv/bin/python scripts/rie $@

# Unoptimised, cargo-deny compiles in a minute instead of three, and checks this workspace in two
# seconds.
$(CARGO_DENY):
	RUSTC_WRAPPER= CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug \
	    --no-default-features --root $(dir $(abspath $(@D))) cargo-deny@$(CARGO_DENY_VERSION)

$(CARGO_MUTANTS) $(CARGO_DEB) $(CARGO_CYCLONEDX): %:
	RUSTC_WRAPPER= CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug \
	    --root $(dir $(abspath $(@D))) \
	    $(@F)@$(patsubst $(@F)-%,%,$(notdir $(abspath $(@D)/..)))

# Without its search, server and watcher, mdBook compiles in half a minute.
$(MDBOOK):
	RUSTC_WRAPPER= CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug \
	    --no-default-features --root $(dir $(abspath $(@D))) mdbook@$(MDBOOK_VERSION)
