"""Documents that are made from code are committed as the code would make them now."""

from __future__ import annotations

from tests.support.processes import REPOSITORY, run_python


def test_every_generated_document_is_current() -> None:
    told = run_python("scripts/generate.py", "--check", cwd=REPOSITORY).stdout
    assert "All generated documents are current." in told
