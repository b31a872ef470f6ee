#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh DIRECTORY: builds the program of the app `kube` there, with Debian's Go and its packages; run in the root.

set -euo pipefail

mkdir -p "$1"
cd "$(dirname "$0")"
exec env GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$1/cache" CGO_ENABLED=0 \
	GOFLAGS=-buildvcs=false go build -o "$1/kube" main.go
