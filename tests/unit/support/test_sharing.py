"""Several processes share the tests by what belongs together. When that goes wrong nothing fails, it only takes long."""

from __future__ import annotations

import re
import sys
from collections import defaultdict

from tests.support.processes import REPOSITORY, child_environment, run
from tests.support.sharing import group_of, place_of

FILES = ("tests/unit/server_store", "tests/unit/docs", "tests/unit/server_feed")


def test_the_tests_of_a_file_have_one_process() -> None:
    shared = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadscope", "-v", "-p", "no:cacheprovider"]
    done = run([*shared, *FILES], env=child_environment(), cwd=REPOSITORY, timeout=120)
    processes: defaultdict[str, set[str]] = defaultdict(set)
    for process, file in re.findall(r"^\[(gw\d)\] .*PASSED ([^:]+)::", done.stdout, re.MULTILINE):
        processes[file].add(process)
    assert len(processes) >= len(FILES)
    assert {file: of for file, of in processes.items() if len(of) > 1} == {}


def test_a_folder_with_expensive_fixtures_has_one_process_and_long_tests_have_any() -> None:
    assert group_of("tests/browser/test_demo.py::test_a") == group_of("tests/browser/test_pages.py::test_b[x::y]")
    assert group_of("tests/e2e/test_chaos.py::test_a[x]") != group_of("tests/e2e/test_chaos.py::test_a[y]")


def test_what_takes_long_comes_first() -> None:
    tests = ["tests/unit/sdk/test_a.py::test", "tests/e2e/test_ls.py::test", "tests/browser/test_pages.py::test"]
    assert sorted(tests, key=place_of) == tests[::-1]
