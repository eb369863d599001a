"""What `standpipe serve` makes of its arguments and its environment."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from standpipe_server.settings import (
    DEFAULT_PORT,
    Settings,
    SettingsError,
    add_serve_arguments,
    serve_settings,
)
from standpipe_server.store import UnusableDatabase
from standpipe_server.store.database.engines import database_url

KEY = "spk_a-key-that-a-person-chose"


def settings(tmp_path: Path, *arguments: str, **environment: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_serve_arguments(parser)
    return serve_settings(parser.parse_args(arguments), {"STANDPIPE_HOME": str(tmp_path), **environment})


SERVICE = {
    "STANDPIPE_SERVICE_HOST": "10.96.0.12",
    "STANDPIPE_SERVICE_PORT": "8787",
    "STANDPIPE_SERVICE_PORT_HTTP": "8787",
    "STANDPIPE_PORT_8787_TCP": "tcp://10.96.0.12:8787",
    "STANDPIPE_PORT_8787_TCP_PROTO": "tcp",
    "STANDPIPE_PORT_8787_TCP_PORT": "8787",
    "STANDPIPE_PORT_8787_TCP_ADDR": "10.96.0.12",
}


@pytest.mark.parametrize("port", ["tcp://10.96.0.12:8787", "tcp://[fd00::12]:8787", "udp://10.96.0.12:53"])
def test_what_kubernetes_puts_there_for_a_service_called_standpipe_is_no_port(tmp_path: Path, port: str) -> None:
    assert settings(tmp_path, **SERVICE, STANDPIPE_PORT=port).port == DEFAULT_PORT
    assert settings(tmp_path, "--port", "9000", **SERVICE, STANDPIPE_PORT=port).port == 9000


@pytest.mark.parametrize("port", ["http://10.96.0.12:8787", "8787/tcp", "eighty", "-1", "65536", "9" * 5000, "٨"])
def test_a_port_that_is_none_is_still_refused_by_name(tmp_path: Path, port: str) -> None:
    with pytest.raises(SettingsError, match=r"STANDPIPE_PORT.*a number from 0 to 65535"):
        settings(tmp_path, STANDPIPE_PORT=port)


def test_space_around_a_value_that_came_out_of_a_file_is_none_of_it(tmp_path: Path) -> None:
    read = settings(
        tmp_path,
        STANDPIPE_API_KEY=f"{KEY}\r\n",
        STANDPIPE_PORT="8080\n",
        STANDPIPE_HOST=" 127.0.0.1 ",
        STANDPIPE_PUBLIC_URL=" HTTPS://Broker.example/pipes/ \n",
        STANDPIPE_DATABASE="POSTGRESQL://user@host/name\n",
        STANDPIPE_MIGRATE="check\n",
    )
    assert (read.given_key, read.port, read.host) == (KEY, 8080, "127.0.0.1")
    assert (read.public_url, read.database_url) == ("https://Broker.example/pipes", "postgresql://user@host/name")
    assert read.migrate == "check"


@pytest.mark.parametrize("inner", ["\n", " ", "\x00", "\u2026"])
def test_a_key_that_http_cannot_carry_is_refused_and_not_shown(tmp_path: Path, inner: str) -> None:
    with pytest.raises(SettingsError, match="STANDPIPE_API_KEY") as refused:
        settings(tmp_path, STANDPIPE_API_KEY=f"{KEY}{inner}more")
    assert KEY not in str(refused.value)


def test_no_value_that_is_a_secret_is_shown(tmp_path: Path) -> None:
    read = settings(tmp_path, STANDPIPE_API_KEY=KEY, STANDPIPE_DATABASE="postgresql://user:sesame@host/name")
    assert KEY not in repr(read)
    assert "sesame" not in repr(read)
    with pytest.raises(SettingsError) as refused:
        settings(tmp_path, STANDPIPE_PUBLIC_URL="https://user:sesame@broker.example")
    assert "sesame" not in str(refused.value)
    with pytest.raises(SettingsError) as refused:
        settings(tmp_path, STANDPIPE_DATABASE="user:sesame@host/name")
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["job%2Fbranch", "100%", "what?mode=ro", "a#b", "two words ", "straße", "a+b&c", "%", os.fsdecode(b"\xff")]
)
def test_the_database_of_a_home_lies_in_that_home_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    url = database_url(settings(tmp_path, STANDPIPE_HOME=str(tmp_path / name)).database_url)
    assert url.database == str(tmp_path / name / "standpipe.db")
    assert not url.query


@pytest.mark.parametrize("port", ["port", "", "12x", "5432,5433", "-5", "0", "70000", "54 32"])
def test_a_database_address_with_a_port_that_is_none_is_refused_by_a_sentence(port: str) -> None:
    with pytest.raises(UnusableDatabase, match="a port that is none") as refused:
        database_url(f"postgresql://user:sesame@host:{port}/name")
    assert "sesame" not in str(refused.value)
