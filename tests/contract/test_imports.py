"""What an import costs and drags along, each looked at in an interpreter of its own."""

from __future__ import annotations

import json
import pkgutil

import pytest

import standpipe_protocol
from tests.support.processes import REPOSITORY, run_python


def loaded_by(code: str, *options: str) -> set[str]:
    """The top-level modules that are loaded after `code`."""
    told = run_python(*options, "-c", f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))").stdout
    return {str(name).split(".")[0] for name in json.loads(told.splitlines()[-1])}


MODULES = sorted(module.name for module in pkgutil.iter_modules(standpipe_protocol.__path__))


def test_the_vocabulary_imports_only_the_standard_library() -> None:
    source = REPOSITORY / "client_sdk" / "src"
    imports = "; ".join(f"import standpipe_protocol.{name}" for name in MODULES)
    # Without site there is nothing else to be imported, so that this fails on whatever is not standard.
    code = f"import sys; sys.path.append({str(source)!r}); {imports}; known = sys.stdlib_module_names"
    check = f"{code}\nprint(sorted({{name.split('.')[0] for name in sys.modules}} - known))"
    foreign = run_python("-I", "-S", "-c", check).stdout.strip()
    assert foreign == "['__main__', 'standpipe_protocol']"


@pytest.mark.parametrize("code", ["import standpipe", "from standpipe import open_pipes, PipesContext"])
def test_the_sdk_is_imported_without_its_http_client(code: str) -> None:
    assert not loaded_by(code) & {"httpx", "httpcore", "anyio", "ssl"}


def test_opening_pipes_outside_of_an_orchestrator_needs_no_http_client() -> None:
    code = "from standpipe import open_pipes\nwith open_pipes() as context:\n    context.report_custom_message(1)"
    assert "httpx" not in loaded_by(code)


def test_the_orchestrator_is_imported_without_what_its_user_may_not_need() -> None:
    loaded = loaded_by("import standpipe_orchestrator")
    assert not loaded & {"httpx", "pandas", "pyarrow", "rich", "standpipe_server"}


def test_listing_verbs_does_not_load_the_server() -> None:
    loaded = loaded_by("import standpipe.cli, io, contextlib\nstandpipe.cli.main(['--help'])")
    assert not loaded & {"fastapi", "sqlalchemy", "uvicorn", "pandas", "httpx"}
