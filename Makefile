# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Every target begins with `setup`, which does only what is still to do (well under a second once all is there).
# LAB is the lab's name, GW a gateway in it, ARGS what pytest is to get besides: make test-fast ARGS="-k plan".
LAB ?= demo
GW ?= gw1
ARGS ?=

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/dev/bin
# Debian's own first: what PATH finds may be a shim that cannot run.
PYTHON := $(firstword $(wildcard /usr/bin/python3) $(shell command -v python3))
ifeq ($(PYTHON),)
$(error python3 not found. Install it: apt-get install python3)
endif

# The checkout's own, whatever the caller's shell has set.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := tests
unexport ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH ANSIBLE_INVENTORY ANSIBLE_LIBRARY

.PHONY: help setup setup-all test test-fast lint demo ssh clean-lab clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' Makefile

setup: ## Install what is missing on this machine and make .venv/dev
	@$(PYTHON) dev/setup.py

setup-all: ## As setup, with the other ansible-core versions
	@$(PYTHON) dev/setup.py --cores

test: setup-all ## Run every test: fast ones first, the lab last
	@mkdir -p tests/output
	@$(BIN)/pytest --junitxml=tests/output/junit.xml $(ARGS)

test-fast: setup ## Run the tests that need neither the lab nor other ansible-core versions
	@$(BIN)/pytest tests/unit tests/contract $(ARGS)

lint: setup ## Run linters, types and house rules
	@$(BIN)/pytest tests/gates/test_lint.py tests/gates/test_house.py $(ARGS)

demo: setup ## Two gateways, one playbook, one tunnel; leaves the lab LAB=demo up
	@demo/run $(LAB)

ssh: setup ## Log in to a gateway of the lab: make ssh GW=gw1
	@$(BIN)/python -m lab ssh $(LAB) $(GW)

clean-lab: setup ## Take the lab down and remove what is left of it
	@$(BIN)/python -m lab down $(LAB)

clean: ## Remove what was made in this checkout, but for labs (clean-lab) and cached images
	rm -rf .ansible .venv .hypothesis tests/output
