"""The command `standpipe`: verbs by entry points."""

from __future__ import annotations

import pytest

from standpipe.cli import main


def test_the_overview_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "deliver" in capsys.readouterr().out
    assert main([]) == 2


def test_the_version_names_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert "standpipe 0." in capsys.readouterr().out


def test_an_unknown_verb_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spam"]) == 2
    assert "there is no verb `spam`" in capsys.readouterr().err


def test_a_verb_that_is_not_installed_names_what_brings_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe.cli._installed_verbs", dict)
    assert main(["serve"]) == 2
    assert "pip install standpipe-server" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "pip install standpipe-orchestrator" in capsys.readouterr().out


def test_a_shell_that_asks_what_may_follow_gets_nothing_where_no_verb_can_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe.cli._installed_verbs", dict)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert main(["deliver"]) == 2
    assert capsys.readouterr().out == ""


def test_a_verbs_own_usage_error_is_exit_code_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["deliver", "--spam"])
    assert left.value.code == 2
    assert "standpipe deliver" in capsys.readouterr().err
