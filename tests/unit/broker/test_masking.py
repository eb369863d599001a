"""What looks like a credential is masked, by name and by shape, also in text that is no JSON."""

from __future__ import annotations

import pytest

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.masking import MASK, mask_text, mask_values, names_secret


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"password": "hunter2", "rows": 1}', f'{{"password": {MASK}, "rows": 1}}'),
        ('{"password":"hun"ter2","rows":1}', f'{{"password":{MASK},"rows":1}}'),
        ('{\\"api_key\\":\\"abc\\",\\"rows\\":1}', f'{{\\"api_key\\":{MASK},\\"rows\\":1}}'),
        ("{'db_password': 'a', 'rows': 1}", f"{{'db_password': {MASK}, 'rows': 1}}"),
        ('{"tokens": {"a": "b"}, "rows": 1}', f'{{"tokens": {MASK}'),
        ('{"token": 5, "rows": 1}', f'{{"token": {MASK}, "rows": 1}}'),
        ('password: "not closed', f"password: {MASK}"),
        ("user=me&password=hunter2&rows=1", f"user=me&password={MASK}&rows=1"),
        ("Authorization: Bearer abc.def\nRows: 1", f"Authorization: {MASK}\nRows: 1"),
        ("curl -H 'X: Bearer abcdef123'", f"curl -H 'X: {MASK}'"),
        ('{"url": "postgres://me:hunter2@host/db"}', f'{{"url": "postgres://{MASK}@host/db"}}'),
        ("it is spt_ABCDEFGHijkl0123.", f"it is {MASK}."),
        ('{"aws": "AKIAABCDEFGHIJKLMNOP"}', f'{{"aws": "{MASK}"}}'),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", MASK),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n", MASK),
    ],
)
def test_a_credential_is_masked(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize("text", ["", "plain", '{"message": "he said "hi"", "level": "INFO"}', "tokenize this: fine"])
def test_what_is_none_stays(text: str) -> None:
    assert mask_text(text) == text


def test_a_credential_that_is_cut_off_is_masked_all_the_same() -> None:
    text = "x" * 180 + '{"password": "0123456789abcdef"}'
    assert mask_text(text, length=200) == "x" * 180 + f'{{"password": {MASK}'
    assert len(mask_text("y" * 500, length=200)) == 200


def test_a_name_anywhere_in_a_path_counts() -> None:
    assert names_secret("/database/passwords/0")
    assert not names_secret("/rows")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            {"a": {"db_password": "x", "PWD": 1, "user": "me"}},
            {"a": {"db_password": "***", "PWD": "***", "user": "me"}},
        ),
        (
            {"dsn": "x", "connection-string": ["x"], "authorisation": {}},
            dict.fromkeys(["dsn", "connection-string", "authorisation"], "***"),
        ),
        ({"password": None, "secret": False}, {"password": None, "secret": "***"}),
        (["run", "--token", "x", "--fast", "y"], ["run", "--token", "***", "--fast", "y"]),
        (["--api-key=x", "--password", 3, "-p"], ["--api-key=***", "--password", 3, "-p"]),
        ("mysql://me:x@db", "mysql://***@db"),
        ([1, 1.5, True, None], [1, 1.5, True, None]),
    ],
)
def test_values_are_masked_by_name_by_shape_and_after_an_option(value: JsonValue, shown: JsonValue) -> None:
    assert mask_values(value) == shown


def test_what_is_nested_without_end_is_masked_as_a_whole() -> None:
    value: JsonValue = "x"
    for _ in range(5_000):
        value = [value]
    shown = mask_values(value)
    for _ in range(400):
        assert isinstance(shown, list)
        (shown,) = shown
    assert shown == "***"


def test_a_long_text_is_masked_in_every_part_of_it() -> None:
    text = "word " * 50_000 + "password=hunter2\n" + "x" * 100_000 + " token: hunter3"
    shown = mask_values(text)
    assert isinstance(shown, str)
    assert "hunter" not in shown
    assert shown.startswith("word word")
    assert "x" * 100_000 in shown
