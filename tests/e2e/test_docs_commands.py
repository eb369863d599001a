"""What README and the how-to pages say to type is typed here: every block is run, or says why it is not.

A code block is preceded by a comment: `<!-- file: NAME -->` writes it to that file, `<!-- runs: shell -->` and
`<!-- runs: python -->` run it, `<!-- prints -->` is what the block before printed (`…` stands for anything; lines may
be left out), `<!-- not run: REASON -->` says why not. One page is one shell in one folder, so variables last. A server
of the page's home runs, but for pages that hold `<!-- page: embedded -->`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ServerFactory
from tests.support.processes import REPOSITORY, child_environment, run

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs" / "how-to").glob("*.md"))]
RUNNABLE = {"bash", "sh", "shell", "python"}
EMBEDDED = "<!-- page: embedded -->"
_MARK = re.compile(r"<!-- (?P<kind>file|runs|prints|not run)(?:: *(?P<argument>.+?))? -->")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, with the comment before it."""

    line: int
    language: str
    text: str
    kind: str | None
    argument: str


def blocks_of(page: Path) -> list[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    mark: re.Match[str] | None = None
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.startswith("```"):
            end = lines.index("```", number + 1)
            text = "\n".join(lines[number + 1 : end]) + "\n"
            kind, argument = (mark["kind"], mark["argument"] or "") if mark else (None, "")
            found.append(Block(number + 1, line.removeprefix("```").strip(), text, kind, argument))
            mark, number = None, end
        elif line.strip():
            mark = _MARK.fullmatch(line.strip())
        number += 1
    return found


def identify(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_block_of_code_is_run_or_says_why_not(page: Path) -> None:
    silent = [block.line for block in blocks_of(page) if block.language in RUNNABLE and block.kind is None]
    assert silent == [], f"{identify(page)} has code blocks without a word on whether they run, at lines {silent}."


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.kind == "runs" for b in blocks_of(page))], ids=identify
)
def test_what_the_page_says_to_type_works(page: Path, tmp_path: Path, start_server: ServerFactory) -> None:
    blocks = blocks_of(page)
    folder = tmp_path / "work"
    folder.mkdir()
    home = tmp_path / "home"
    if EMBEDDED not in page.read_text(encoding="utf-8"):
        start_server(home=home)
    for block in blocks:
        if block.kind == "file":
            (folder / block.argument).write_text(block.text, encoding="utf-8")
    script = folder / "page.bash"
    script.write_text(script_of(blocks, folder=folder), encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = run(["bash", script], env=child_environment({"PATH": path}, home=home), cwd=folder, timeout=300.0)
    outputs = dict(re.findall(r"^@@ (\d+)\n(.*?)(?=^@@ |\Z)", done.stdout, flags=re.MULTILINE | re.DOTALL))
    output = ""
    for block in blocks:
        if block.kind == "runs":
            output = outputs[str(block.line)]
        elif block.kind == "prints":
            assert prints(block.text.splitlines(), output), (
                f"{identify(page)} says at line {block.line} that this is printed:\n{block.text}\nbut it was:\n{output}"
            )


def script_of(blocks: Sequence[Block], *, folder: Path) -> str:
    """One shell script of all blocks that run, each after a line that names it."""
    parts = ["set -euo pipefail\nexec 2>&1\n"]
    for block in blocks:
        if block.kind != "runs":
            continue
        parts.append(f"printf '@@ {block.line}\\n'\n")
        if block.argument == "python":
            program = folder / f"block_{block.line}.py"
            program.write_text(block.text, encoding="utf-8")
            parts.append(f"python {program.name}\n")
        else:
            parts.append(block.text)
        parts.append("printf '\\n'\n")
    return "".join(parts)


def prints(expected: Sequence[str], output: str) -> bool:
    """Whether the lines expected are in the output, in their order."""
    patterns = [".*".join(re.escape(piece) for piece in line.strip().split("…")) for line in expected if line.strip()]
    lines = iter(output.splitlines())
    return all(any(re.fullmatch(pattern, line.strip()) for line in lines) for pattern in patterns)
