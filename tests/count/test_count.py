#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of how count.py compares."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import count

VERSIONS = {"release": "7.3.4", "rustc": "1.85.1", "gcc": "14.2.0"}


def found(**changes):
    """Counts of each path of each tracker, a thousand of everything but for rust_ct's changes in one path."""
    paths = {path: dict.fromkeys(count.FIELDS, 1000) for path in count.numbers().values()}
    ours = {path: dict(counts) for path, counts in paths.items()}
    ours["udp-ipv4-new"].update(changes)
    return {"nf_conntrack": paths, "rust_ct": ours}


@mock.patch.object(count, "versions", return_value=VERSIONS)
class Check(unittest.TestCase):
    """What is said of counts that are compared with figures of a thousand each."""

    def compare(self, now):
        with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()) as said:
            file = Path(directory, "figures")
            count.write_figures(file, found())
            failed = count.check(now, file)
        return failed, said.getvalue().splitlines()

    def test_the_same_passes(self, _):
        failed, said = self.compare(found())
        self.assertEqual(failed, 0)
        self.assertEqual(said, ["88 passed, 0 failed"])

    def test_two_percent_pass(self, _):
        self.assertEqual(self.compare(found(instructions=1020))[0], 0)
        self.assertEqual(self.compare(found(instructions=980, code=1020, data=980))[0], 0)

    def test_more_fails_and_says_what(self, _):
        failed, said = self.compare(found(instructions=1021))
        self.assertEqual(failed, 1)
        self.assertEqual(
            said[0], "count: rust_ct, udp-ipv4-new: instructions: 1000 before, 1021 now (+2.1%)"
        )
        self.assertTrue(any("make count-accept" in line for line in said))
        self.assertEqual(said[-1], "87 passed, 1 failed")

    def test_less_fails(self, _):
        self.assertEqual(self.compare(found(instructions=979))[0], 1)

    def test_three_lines_of_data_pass(self, _):
        before = dict.fromkeys(count.FIELDS, 50)
        self.assertEqual(list(count.differences(before, before | {"data": 47})), [])
        self.assertEqual(len(list(count.differences(before, before | {"data": 46}))), 1)
        self.assertEqual(len(list(count.differences(before, before | {"code": 52}))), 1)

    def test_a_locked_operation_more_fails(self, _):
        self.assertEqual(self.compare(found(locked=1001))[0], 1)

    def test_a_path_that_is_missing_fails(self, _):
        now = found()
        del now["rust_ct"]["tcp-ipv6-invalid"]
        self.assertEqual(self.compare(now)[0], 1)

    def test_another_kernel_fails_as_it_is_not_compared(self, versions):
        with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()) as said:
            file = Path(directory, "figures")
            count.write_figures(file, found())
            versions.return_value = {**VERSIONS, "release": "7.3.5"}
            self.assertEqual(count.check(found(instructions=5000), file), 1)
        self.assertIn("not compared", said.getvalue())


if __name__ == "__main__":
    unittest.main()
