"""Several processes share the tests by what belongs together. When that goes wrong nothing fails, it takes long."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from tests.support.processes import REPOSITORY, child_environment, run
from tests.support.sharing import group_of, place_of

CONFTEST = """
from tests.support.sharing import Sharing
def pytest_xdist_make_scheduler(config, log):
    return Sharing(config, log)
"""
TESTS = """
import pytest
@pytest.mark.parametrize("number", range(8))
def test(number):
    pass
"""


def test_the_tests_of_a_file_have_one_process(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(TESTS)
    pytest = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:cacheprovider"]
    shared = [*pytest, "-n", "2", "--dist", "load", "-v", "--rootdir", tmp_path, tmp_path]
    done = run(shared, env=child_environment({"PYTHONPATH": str(REPOSITORY)}), cwd=tmp_path)
    processes: defaultdict[str, list[str]] = defaultdict(list)
    for process, file in re.findall(r"^\[(gw\d)\] .*PASSED ([^:]+)::", done.stdout, re.MULTILINE):
        processes[file].append(process)
    assert [len(of) for of in processes.values()] == [8] * 4, done.stdout
    assert [set(of) for of in processes.values() if len(set(of)) > 1] == []


def test_a_folder_with_expensive_fixtures_has_one_process_and_long_tests_have_any() -> None:
    assert group_of("tests/browser/test_demo.py::test_a") == group_of("tests/browser/test_pages.py::test_b[x::y]")
    assert group_of("tests/e2e/test_sdk_pools.py::test_a[x]") != group_of("tests/e2e/test_sdk_pools.py::test_a[y]")


def test_what_takes_long_comes_first() -> None:
    tests = ["tests/unit/sdk/test_a.py::test", "tests/e2e/test_ls.py::test", "tests/browser/test_pages.py::test"]
    assert sorted(tests, key=place_of) == tests[::-1]
