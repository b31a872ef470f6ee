#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Prints the names of all packages of the build root, one a line, sorted: those
# of the packages.txt here and of every kind of test.

set -euo pipefail
cd "$(dirname "$0")/../.."
shopt -s nullglob
cat scripts/setup/packages.txt tests/*/packages.txt |
	sed 's/#.*//' | tr -s '[:space:]' '\n' | grep . | sort -u
