"""The three distributions as a user gets them: built from an sdist, installed alone, complete and no larger."""

from __future__ import annotations

import json
import sqlite3
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
import tomllib

from tests.contract.conftest import MEMBERS, Built
from tests.support.clean_venv import CleanVenv, requirements_of, third_party
from tests.support.processes import REPOSITORY, run


@pytest.mark.parametrize("name", MEMBERS)
def test_a_wheel_carries_its_packages_typed_and_licensed_and_nothing_else(
    distributions: dict[str, Built], name: str
) -> None:
    names = ZipFile(distributions[name].wheel).namelist()
    tops = {entry.split("/")[0] for entry in names if ".dist-info/" not in entry}
    expected = {"standpipe": {"standpipe", "standpipe_protocol"}}.get(name, {name.replace("-", "_")})
    assert tops == expected
    assert {f"{top}/py.typed" for top in tops} <= set(names)
    (licence,) = [entry for entry in names if entry.endswith("/licenses/LICENSE")]
    assert ZipFile(distributions[name].wheel).read(licence) == (REPOSITORY / "LICENSE").read_bytes()
    assert not [entry for entry in names if "__pycache__" in entry or "test" in entry.split("/")[-1].split("_")]


def test_the_servers_migrations_are_real_files_in_sdist_and_wheel(distributions: dict[str, Built]) -> None:
    built = distributions["standpipe-server"]
    own = {path.name for path in (REPOSITORY / "migrations" / "versions").glob("*.py")}
    assert own
    with tarfile.open(built.sdist) as archive:
        members = [member for member in archive.getmembers() if "/_migrations" in member.name]
    assert all(member.isfile() for member in members)
    assert own <= {Path(member.name).name for member in members}
    carried = [name for name in ZipFile(built.wheel).namelist() if "/store/_migrations/" in name]
    assert own | {"env.py"} <= {Path(name).name for name in carried}


def test_the_built_pages_are_those_of_the_sources() -> None:
    manifest = REPOSITORY / "server" / "src" / "standpipe_server" / "ui" / "built" / "manifest.json"
    run([sys.executable, "server/build_pages.py"], cwd=REPOSITORY, timeout=300)
    before = manifest.stat().st_mtime_ns
    run([sys.executable, "server/build_pages.py"], cwd=REPOSITORY, timeout=300)
    assert manifest.stat().st_mtime_ns == before, "What is in step was built again."


def test_the_servers_pages_are_in_its_wheel_and_need_no_building(distributions: dict[str, Built]) -> None:
    built = distributions["standpipe-server"]
    folder = "standpipe_server/ui/built/"
    wheel = ZipFile(built.wheel)
    carried = {name.removeprefix(folder) for name in wheel.namelist() if name.startswith(folder)}
    entries: dict[str, str] = json.loads(wheel.read(folder + "manifest.json"))["entries"]
    assert {"app.js", "app.css", "theme.js", "icon.svg", "licences.txt"} <= set(entries)
    assert carried == {"manifest.json", *entries.values()}
    with tarfile.open(built.sdist) as archive:
        names = archive.getnames()
    assert [name for name in names if name.endswith("/ui/built/manifest.json")]
    assert not [name for name in names if "node_modules" in name]


def test_the_distributions_have_one_version_and_state_bounds_between_them(distributions: dict[str, Built]) -> None:
    versions = {
        tomllib.loads((REPOSITORY / member / "pyproject.toml").read_text())["project"]["version"]
        for member in MEMBERS.values()
    }
    assert len(versions) == 1
    (version,) = versions
    for name, built in distributions.items():
        between = [wanted for wanted in requirements_of(built.wheel) if wanted.name.startswith("standpipe")]
        assert bool(between) == (name != "standpipe")
        for wanted in between:
            operators = {specifier.operator for specifier in wanted.specifier}
            assert operators == {">=", "<"}, f"{name} requires {wanted} without a lower and an upper bound"
            assert wanted.specifier.contains(version), f"{name} requires {wanted}, which leaves out {version}"


def test_the_sdk_depends_on_httpx_and_what_httpx_needs(distributions: dict[str, Built]) -> None:
    required = requirements_of(distributions["standpipe"].wheel)
    assert [wanted.name for wanted in required] == ["httpx"]
    assert third_party(required) <= {"anyio", "certifi", "h11", "httpcore", "httpx", "idna", "typing-extensions"}


def test_the_sdk_works_alone(sdk_venv: CleanVenv, tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "from standpipe import PipesContext, open_pipes\n"
        "with open_pipes():\n"
        "    PipesContext.get().report_custom_message({'n': 1})\n"
        "print('done')\n"
    )
    assert "done" in sdk_venv.run(script, home=tmp_path / "home")
    told = sdk_venv.standpipe("--help")
    assert "standpipe-server" in told
    assert "standpipe-orchestrator" in told


def test_a_verb_of_a_missing_distribution_names_it(sdk_venv: CleanVenv) -> None:
    assert "pip install standpipe-server" in sdk_venv.standpipe("serve", check=False)


def test_the_server_lists_its_verbs_and_upgrades_an_empty_database(server_venv: CleanVenv, tmp_path: Path) -> None:
    told = server_venv.standpipe("--help")
    assert "serve" in told
    assert "migrate" in told
    database = tmp_path / "standpipe.db"
    server_venv.standpipe("migrate", "--database", f"sqlite:///{database}", home=tmp_path / "home")
    connection = sqlite3.connect(database)
    try:
        tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()
    assert {"alembic_version", "invocation", "segment"} <= tables


def test_the_orchestrator_works_without_the_server(orchestrator_venv: CleanVenv) -> None:
    told = orchestrator_venv.standpipe("--help")
    looking = ("ls", "show", "tail", "logs", "cancel", "compare", "assets", "export", "import", "replay")
    for verb in ("materialize", *looking, "completion"):
        assert f"\n  {verb}" in told
    assert "cannot be loaded" not in told
    code = (
        "import importlib.util, standpipe_orchestrator as o; "
        "[getattr(o, name) for name in o.__all__]; "
        "print(importlib.util.find_spec('standpipe_server'))"
    )
    assert orchestrator_venv.run("-c", code).strip() == "None"
