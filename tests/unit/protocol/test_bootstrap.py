"""What a process reads of its environment: where to report, and by which token."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from standpipe_protocol.bootstrap import Bootstrap, BootstrapError, home_path

TOKEN = "spt_a-token-of-one-invocation"
GOOD = {"STANDPIPE_URL": "http://broker:8787", "STANDPIPE_INVOCATION": "inv_1", "STANDPIPE_TOKEN": TOKEN}


@pytest.mark.parametrize(
    "written",
    [
        "http://broker:8787",
        " http://broker:8787\n",
        "HTTP://broker:8787/",
        "Http://broker:8787//",
        "\thttp://broker:8787",
    ],
)
def test_an_address_is_read_without_what_people_and_files_put_around_it(written: str) -> None:
    read = Bootstrap.from_environment({**GOOD, "STANDPIPE_URL": written})
    assert read == Bootstrap(url="http://broker:8787", invocation="inv_1", token=TOKEN)


@pytest.mark.parametrize("space", ["\n", "\r\n", " ", "\t", "\u2028"])
def test_a_token_and_an_id_end_where_the_line_that_holds_them_ends(space: str) -> None:
    written = {**GOOD, "STANDPIPE_TOKEN": f"{space}{TOKEN}{space}", "STANDPIPE_INVOCATION": f"inv_1{space}"}
    assert Bootstrap.from_environment(written) == Bootstrap.from_environment(GOOD)


@pytest.mark.parametrize("inner", ["\n", " ", "\x00", "\x7f", "\u00e9", "\ud800"])
def test_a_token_that_http_cannot_carry_is_refused_and_not_shown(inner: str) -> None:
    with pytest.raises(BootstrapError, match="STANDPIPE_TOKEN") as refused:
        Bootstrap.from_environment({**GOOD, "STANDPIPE_TOKEN": f"{TOKEN}{inner}more"})
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "broker:8787",
        "ftp://broker",
        "http://broker:port",
        "http://[::1]:0",
        "http://broker:70000",
        "http://",
        "http:///path",
        "http://two words",
        "//broker",
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(BootstrapError, match="STANDPIPE_URL"):
        Bootstrap.from_environment({**GOOD, "STANDPIPE_URL": address})


@pytest.mark.parametrize(
    "address",
    [
        "http://me:sesame@broker",
        "HTTPS://me:ses/ame@broker",
        "smb://me:sesame@broker",
        "me:sesame@broker:8787",
        "https:/me:sesame@broker",
        "https:me:sesame@broker",
        "ftp//me:sesame@broker",
        "//me:sesame@broker",
        "me:sesame://x@broker",
        "http:///me:ses@me@broker",
        "http://two words:sesame@broker",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(BootstrapError) as refused:
        Bootstrap.from_environment({**GOOD, "STANDPIPE_URL": address})
    assert "ame" not in str(refused.value).replace("name", "")
    assert "sesame" not in repr(Bootstrap(url="http://me:sesame@broker", invocation="inv_1", token=TOKEN))


def test_an_empty_id_is_no_launch_also_where_it_is_made_of_space() -> None:
    assert Bootstrap.from_environment({**GOOD, "STANDPIPE_INVOCATION": " \n"}) is None


def test_a_token_is_read_from_a_file_where_the_environment_holds_none(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    named = {"STANDPIPE_URL": GOOD["STANDPIPE_URL"], "STANDPIPE_INVOCATION": "inv_1", "STANDPIPE_TOKEN_FILE": str(file)}
    read = Bootstrap.from_environment(named)
    assert read is not None
    assert (read.token, read.token_file) == (TOKEN, str(file))
    given = Bootstrap.from_environment({**named, "STANDPIPE_TOKEN": "spt_other"})
    assert given is not None
    assert given.token == "spt_other"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two words", b"\xff\xfe"])
def test_a_token_file_that_holds_none_is_refused_by_name_and_not_shown(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BootstrapError, match="STANDPIPE_TOKEN_FILE") as refused:
        Bootstrap.from_environment({**GOOD, "STANDPIPE_TOKEN": "", "STANDPIPE_TOKEN_FILE": str(file)})
    assert "two words" not in str(refused.value)


def test_a_relative_home_stays_where_it_was_when_the_program_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"data-{os.getpid()}"
    monkeypatch.chdir(tmp_path)
    assert home_path({"STANDPIPE_HOME": name}) == str(tmp_path / name)
    monkeypatch.chdir("/")
    assert home_path({"STANDPIPE_HOME": name}) == str(tmp_path / name)
    assert home_path({"XDG_DATA_HOME": str(tmp_path)}, platform="linux") == str(tmp_path / "standpipe")
