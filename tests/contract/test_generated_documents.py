"""Documents that are made from code are committed as the code would make them now."""

from __future__ import annotations

from tests.support.processes import REPOSITORY, run_python


def test_every_generated_document_is_current() -> None:
    told = run_python("scripts/generate.py", "--check", cwd=REPOSITORY).stdout
    assert "All generated documents are current." in told


def test_the_reference_has_every_call_of_the_client() -> None:
    page = (REPOSITORY / "docs" / "reference" / "python-orchestrator.md").read_text(encoding="utf-8")
    for call in ("invocations.register", "events.stream", "assets.checks", "errors.list", "limits"):
        assert f"#### BrokerClient.{call}\n" in page, call
