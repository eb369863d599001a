"""The distributions as they would be published: built once a session, each wheel from its own sdist."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.clean_venv import CleanVenv
from tests.support.processes import REPOSITORY, run

MEMBERS = {"standpipe": "client_sdk", "standpipe-server": "server", "standpipe-orchestrator": "orchestrator"}
_NOT_SOURCE = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", ".*cache", "dist", "build", "node_modules")


@dataclass(frozen=True, slots=True)
class Built:
    """One distribution's two files."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Every distribution by name. The wheel is built from the unpacked sdist, where only what the sdist holds is there.

    Built without isolation, by the backend the lock pins, so that nothing is fetched.
    """
    folder = tmp_path_factory.mktemp("distributions")
    tree = folder / "tree"
    tree.mkdir()
    # A copy, with links as links, so that nothing the build leaves behind lands in the checkout.
    for part in (*MEMBERS.values(), "migrations"):
        shutil.copytree(REPOSITORY / part, tree / part, symlinks=True, ignore=_NOT_SOURCE)
    built: dict[str, Built] = {}
    for name, member in MEMBERS.items():
        out = folder / name
        run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree / member], timeout=120)
        (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
        built[name] = Built(sdist=sdist, wheel=wheel)
    return built


@pytest.fixture(scope="session")
def sdk_venv(distributions: dict[str, Built], tmp_path_factory: pytest.TempPathFactory) -> CleanVenv:
    """An environment with the SDK alone."""
    venv = CleanVenv(tmp_path_factory.mktemp("sdk") / "venv")
    venv.install(distributions["standpipe"].wheel)
    return venv


@pytest.fixture(scope="session")
def server_venv(distributions: dict[str, Built], tmp_path_factory: pytest.TempPathFactory) -> CleanVenv:
    """An environment with the server and the SDK it requires, without its extra."""
    venv = CleanVenv(tmp_path_factory.mktemp("server") / "venv")
    venv.install(distributions["standpipe"].wheel, distributions["standpipe-server"].wheel)
    return venv


@pytest.fixture(scope="session")
def orchestrator_venv(distributions: dict[str, Built], tmp_path_factory: pytest.TempPathFactory) -> CleanVenv:
    """An environment with the orchestrator and the SDK it requires, without its extras."""
    venv = CleanVenv(tmp_path_factory.mktemp("orchestrator") / "venv")
    venv.install(distributions["standpipe"].wheel, distributions["standpipe-orchestrator"].wheel)
    return venv
