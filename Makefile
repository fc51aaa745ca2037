# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Every target begins with dev/setup.sh, which does only what is still to do (well under a second once all is there).
# LAB is the lab's name, GW a gateway in it, ARGS what pytest is to get besides: make test-fast ARGS="-k plan".
# VERSION is that of a release.
LAB ?= demo
GW ?= gw1
ARGS ?=
VERSION ?=

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/dev/bin
SETUP := dev/setup.sh

# The checkout's own, whatever the caller's shell has set.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := tests:.ansible/collections
unexport ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH ANSIBLE_INVENTORY ANSIBLE_LIBRARY

.PHONY: help setup test test-fast accidents reload examples lint fuzz faults chaos molecule picture bench bench-status docs release demo ssh clean-lab clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

setup: ## Check this machine, install what is missing, make .venv/dev
	@$(SETUP) --lab

test: ## Run every test: fast ones, the lab, and beside them the gates
	@$(SETUP) --lab --cores
	@$(BIN)/python dev/test.py $(ARGS)

test-fast: ## Run the tests of seconds: no lab, no gates
	@$(SETUP)
	@$(BIN)/pytest tests/unit tests/contract $(ARGS)

accidents: ## Try every verb with every accident on real gateways (test: a selection)
	@$(SETUP) --lab --cores
	@XSWAN_ACCIDENTS=all $(BIN)/pytest tests/integration/test_accidents.py $(ARGS)
	@# only what was tried whole is published
	@$(if $(ARGS),,cp tests/output/accidents.md docs/accidents-results.md)

reload: ## Prove on real gateways what a reload leaves alone (test: all but what takes minutes)
	@$(SETUP) --lab
	@XSWAN_RELOAD=all $(BIN)/pytest tests/integration/test_reload.py $(ARGS)

examples: ## Run the examples of documents and modules on real gateways (test: checks their arguments)
	@$(SETUP) --lab
	@XSWAN_EXAMPLES=all $(BIN)/pytest tests/integration/test_examples.py $(ARGS)

lint: ## Run linters, types and house rules
	@$(SETUP)
	@$(BIN)/pytest tests/gates/test_lint.py tests/gates/test_house.py $(ARGS)

fuzz: ## Fuzz every reader of what comes from outside, a million cases (test: the same few thousand); prints a table
	@$(SETUP)
	@nice $(BIN)/python -m chaos fuzz $(ARGS)

faults: ## Make each system call of the real ports fail once in turn (test: a selection); prints a table
	@$(SETUP)
	@nice $(BIN)/python -m chaos faults $(ARGS)

chaos: ## Cut power, controllers and networks of real gateways, run at once, soak (ARGS: campaigns); prints a table
	@$(SETUP) --lab
	@nice $(BIN)/python -m chaos $(or $(ARGS),power controller concurrent secrets soak)

molecule: ## Test the role by its molecule scenarios
	@$(SETUP) --lab
	@# molecule shows nothing of a task before its end, and images can take minutes.
	@$(BIN)/python -m lab build bullseye trixie
	@ANSIBLE_HOME=$(CURDIR)/.venv/molecule-home $(BIN)/molecule test --all

picture: ## Look at real gateways, and draw docs/fleet.png anew
	@$(SETUP) --lab
	@$(BIN)/pytest tests/integration/test_fleet.py
	@cp tests/output/fleet.png docs/fleet.png

bench: ## Measure on real gateways beside what others do; writes docs/benchmarks.md (ARGS=--small: minutes, to tests/output; --help)
	@$(SETUP) --lab
	@$(BIN)/python -m bench $(ARGS)

bench-status: ## Measure what a look by ipsec_status costs; writes docs/benchmarks-status.md (ARGS=--small: a minute, writes nothing)
	@$(SETUP) --lab
	@$(BIN)/python -m bench.status $(ARGS)

docs: ## Build the documentation site, without the network; tests/output/docs/html/index.html
	@$(SETUP)
	@$(BIN)/python dev/docs.py

release: ## Make a release, VERSION=x.y.z: changelog, version, tarball, proof (ARGS=--dry-run: keeps nothing)
	@$(SETUP)
	@$(BIN)/python dev/release.py $(VERSION) $(ARGS)

demo: ## Two gateways, one playbook, one tunnel; leaves the lab up
	@$(SETUP) --lab
	@$(BIN)/python demo/run.py $(LAB)

ssh: ## Log in to a gateway of the lab: make ssh GW=gw1
	@$(SETUP)
	@$(BIN)/python -m lab ssh $(LAB) $(GW)

clean-lab: ## Take the lab down and remove what is left of it
	@$(SETUP)
	@$(BIN)/python -m lab down $(LAB)

clean: ## Remove what was made in this checkout, but for labs (clean-lab) and cached images
	rm -rf .ansible .venv .hypothesis tests/output
