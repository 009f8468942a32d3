# Short names for what ./slipway does, with the host set up for it. `make help` lists them.
# Variables: PROFILE BASE MIRRORS MIRROR KEYRING SNAPSHOT APT_PROXY PRO_TOKEN_FILE SIGNING_KEY SIGNING_KEY_PASSPHRASE_FILE UKI_KEY UKI_CERT INPUTS REGISTRY_AUTH_FILE
# REGISTRY_CA SOURCE_DATE_EPOCH; BUNDLE for `bundle`; FIRMWARE, MEDIA and CHECK for `boot`, ONLY for `boot-matrix`; REFRESH=1 makes `iso` and `bundle` ask
# the package archive again; FUZZ_RUNS, FUZZ_SEED and RACES for `test` (docs/testing.md); ISO, DEVICE, KEY and YES for
# `flash`; ISO or PROFILE for `size`; TRACE=1 makes `iso` write where its time went; JSON=1 for JSON.
.SUFFIXES:
.DEFAULT_GOAL := help
.PHONY: iso bundle boot boot-matrix test test-parts test-whole crash-full mutants flash size check bench list clean docs help

VARIABLES := BASE MIRRORS MIRROR KEYRING SNAPSHOT APT_PROXY PRO_TOKEN_FILE SIGNING_KEY SIGNING_KEY_PASSPHRASE_FILE UKI_KEY UKI_CERT REGISTRY_AUTH_FILE REGISTRY_CA SOURCE_DATE_EPOCH FUZZ_RUNS FUZZ_SEED RACES TEST_FAILURES
export $(VARIABLES)

# A word for the shell, whatever is in it.
quote = '$(subst ','\'',$1)'
# sudo passes no variables on, so they are named again, where everyone on this host can read them. Without sudo, slipway itself says what
# is missing.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,$(if $(shell command -v sudo),$(if $(findstring @,$(APT_PROXY)),$(error E_USAGE: APT_PROXY= holds a user name or password. Next: Use a local proxy that adds them))sudo env $(foreach v,$(VARIABLES),$(if $($v),$v=$(call quote,$($v))))))
SLIPWAY := ./slipway
# The pinned one, whatever the host has; programs that start `node` themselves find it too.
NODE = .tools/node_modules/node-linux-$(if $(filter aarch64,$(shell uname -m)),arm64,x64)/bin/node
VITEST = PATH="$(CURDIR)/$(dir $(NODE)):$$PATH" $(NODE) node_modules/vitest/vitest.mjs run
COMMON = $(if $(JSON),--json)

iso: need-profile ## Build the ISO of PROFILE into dist/ (BASE=, MIRROR=, PRO_TOKEN_FILE=, SIGNING_KEY=, INPUTS=, REFRESH=1, TRACE=1)
	@scripts/bootstrap
	@needs=$$($(SLIPWAY) validate --for-build $(call quote,$(PROFILE))) && needs=$${needs##*: } && \
		scripts/setup $$needs && case $$needs in *foreign | *emulated) scripts/bootstrap foreign ;; esac
	@$(AS_ROOT) $(SLIPWAY) build $(call quote,$(PROFILE)) $(COMMON) $(if $(INPUTS),--inputs $(call quote,$(INPUTS))) $(if $(REFRESH),--refresh) $(if $(TRACE),--trace)

bundle: ## Build one content bundle (BUNDLE=profiles/bundles/core.yaml)
	@scripts/bootstrap
	@scripts/setup iso
	@$(AS_ROOT) $(SLIPWAY) bundle build $(call quote,$(or $(BUNDLE),profiles/bundles/core.yaml)) $(COMMON) $(if $(REFRESH),--refresh)

boot: need-profile ## Start PROFILE's ISO in QEMU (CHECK=1 tests it and stops; FIRMWARE=bios|uefi|uefi-secureboot, MEDIA=cd|usb)
	@scripts/bootstrap
	@scripts/setup boot
	@$(SLIPWAY) boot $(call quote,$(PROFILE)) $(COMMON) $(if $(CHECK),--check) $(if $(FIRMWARE),--firmware $(call quote,$(FIRMWARE))) $(if $(MEDIA),--media $(call quote,$(MEDIA)))

boot-matrix: ## Check PROFILE's ISO, or all that were built, in every combination of firmware and medium (ONLY='uefi bios/cd')
	@scripts/bootstrap
	@scripts/setup boot
	@$(SLIPWAY) boot $(if $(PROFILE),$(call quote,$(PROFILE))) --matrix $(COMMON) $(if $(ONLY),--only $(foreach w,$(ONLY),$(call quote,$(w))))

flash: ## Write ISO to DEVICE (/dev/sdX), read it back and compare (KEY=; YES=1 does not ask)
	@test -n $(call quote,$(ISO)) -a -n $(call quote,$(DEVICE)) || { echo 'E_USAGE: ISO or DEVICE is not set. Next: make flash ISO=X.iso DEVICE=/dev/sdX' >&2; exit 2; }
	@scripts/bootstrap
	@$(AS_ROOT) $(SLIPWAY) flash $(call quote,$(ISO)) $(call quote,$(DEVICE)) $(COMMON) $(if $(KEY),--key $(call quote,$(KEY))) $(if $(YES),--yes)

size: ## Show where the bytes of ISO, or of PROFILE's newest one, went; a tree map goes beside it
	@test -n $(call quote,$(ISO)$(PROFILE)) || { echo 'E_USAGE: Neither ISO nor PROFILE is set. Next: make size PROFILE=NAME' >&2; exit 2; }
	@scripts/bootstrap
	@scripts/setup iso
	@$(SLIPWAY) size $(call quote,$(or $(ISO),$(PROFILE))) $(COMMON)

# The two halves share nothing but the machine, of which either keeps half busy: builds and boots run on one processor, mostly.
# What failed is told last, of both.
test: TEST_FAILURES := $(CURDIR)/.tools/test-failures
test: check ## Run all checks and tests, the real ISO and its boot included
	@scripts/setup iso foreign boot test
	@rm -f $(call quote,$(TEST_FAILURES)) && : > $(call quote,$(TEST_FAILURES))
	@$(MAKE) --no-print-directory --jobs=2 test-parts test-whole || { cat $(call quote,$(TEST_FAILURES)); exit 1; }

# `attacks` gets a mount name space of its own: however it ends, none of its mounts is left.
test-parts:
	$(VITEST) --project unit
	$(AS_ROOT) unshare --mount env $(VITEST) --project attacks
	$(AS_ROOT) $(VITEST) --project crash
	$(AS_ROOT) $(VITEST) --project parts

test-whole:
	$(AS_ROOT) $(VITEST) --project e2e

crash-full: ## Replay 12,500 power cuts instead of the 1,600 of `test` (CRASH_SEED=)
	@scripts/bootstrap
	@scripts/setup test
	$(AS_ROOT) env CRASH_ROUNDS=5 CRASH_STATES=1250 $(if $(CRASH_SEED),CRASH_SEED=$(call quote,$(CRASH_SEED))) $(VITEST) --project crash power-cuts

mutants: ## Take each piece of safety code away, see its test go red, and write docs/mutants.md
	@scripts/bootstrap
	@scripts/setup test
	@$(AS_ROOT) $(NODE) scripts/mutants.ts

check: ## Check types, style, unused code, generated pages and house rules
	@scripts/bootstrap
	$(NODE) node_modules/typescript/bin/tsc -p .
	$(NODE) node_modules/@biomejs/biome/bin/biome ci .
	$(NODE) node_modules/knip/bin/knip.js
	$(NODE) scripts/generate.ts --check
	$(NODE) scripts/house-rules.ts

docs: ## Write the generated pages and schemas again
	@scripts/bootstrap
	@$(NODE) scripts/generate.ts

bench: ## Measure against cp, openssl and the like, as ratios
	@scripts/bootstrap
	@scripts/setup iso foreign boot bench
	@$(AS_ROOT) $(NODE) test/bench/main.ts

list: ## List profiles, bases and bundles
	@$(SLIPWAY) list $(COMMON)

clean: ## Remove old stage outputs (ALL=1: the whole cache and dist/)
	@$(AS_ROOT) $(SLIPWAY) clean $(if $(ALL),--all)

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS='	' read -r name text; do printf '%-11s %s\n' "$$name" "$$text"; done

need-profile:
	@test -n $(call quote,$(PROFILE)) || { echo 'E_USAGE: PROFILE is not set. Next: make $(MAKECMDGOALS) PROFILE=NAME; `make list` shows the names.' >&2; exit 2; }
