#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check_man.sh PAGE MODULE.ko: the page has the parameters that the module has, no more and no less,
# the module says all of itself that modinfo asks for, and mandoc finds nothing in the page.

set -euo pipefail

page=$1
module=$2

# mandoc looks for the pages that are referred to on the machine where it runs.
mandoc -T lint -W warning "$page" || { echo "error: mandoc complains about $page" >&2; exit 1; }
diff <(sed -n '/^\.Sh PARAMETERS/,/^\.Sh FILES/s/^\.It Cm //p' "$page" | sort) \
	<(modinfo -F parm "$module" | cut -d: -f1 | sort) || {
	echo "error: $page and $module differ in their parameters (<: page, >: module)" >&2
	exit 1
}
for field in author description license version vermagic; do
	[ -n "$(modinfo -F "$field" "$module")" ] || {
		echo "error: $module has no $field" >&2
		exit 1
	}
done
echo "$page: $(modinfo -F parm "$module" | wc -l) parameters, as the module has them"
