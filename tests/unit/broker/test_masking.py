"""What looks like a credential is masked, by name and by shape, also in text that is no JSON."""

from __future__ import annotations

import pytest

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.values.masking import MASK, mask_text, mask_values, names_secret
from tests.support.processes import run_python


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
        (["--api-key=x", "--password", 3, "-p"], ["--api-key=***", "--password", "***", "-p"]),
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


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            {"MYSQL_PWD": "a", "SENTRY_DSN": "b", "db_dsn": "c"},
            {"MYSQL_PWD": "***", "SENTRY_DSN": "***", "db_dsn": "***"},
        ),
        ("MYSQL_PWD=hunter2 run", "MYSQL_PWD=***"),
        (
            {"env": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "A", "value": "y"}]},
            {"env": [{"name": "DB_PASSWORD", "value": "***"}, {"name": "A", "value": "y"}]},
        ),
        ({"provenance_by_asset_key": {"db/tokens": {"a": 1}}}, {"provenance_by_asset_key": {"db/tokens": {"a": 1}}}),
        (
            {"checks": [{"asset_key": "db/secret: a", "check_name": "token: b"}]},
            {"checks": [{"asset_key": "db/secret: a", "check_name": "token: b"}]},
        ),
    ],
)
def test_names_of_platforms_are_known_and_names_of_assets_are_no_secrets(value: JsonValue, shown: JsonValue) -> None:
    assert mask_values(value) == shown


def test_a_key_and_a_name_at_the_end_of_a_piece_are_masked_as_a_whole() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "abcdefgh\n" * 20 + "-----END RSA PRIVATE KEY-----"
    for before in range(32_600, 32_900, 7):
        shown = mask_values("x " * (before // 2) + key + " and password:  hunter2")
        assert isinstance(shown, str)
        assert "abcdefgh" not in shown
        shown = mask_values("x " * (before // 2) + "password:  hunter2")
        assert "hunter2" not in str(shown)


ODD = """
import resource
from standpipe_server.broker.values.masking import mask_values
# Steps that grow with the square of a text's length would take hours of the processor's time.
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
odd = ["token", "secret-secret-", "password='", "\\\\", "eyJaaaaaaaa-", "sk-", "://a:", "-----BEGIN ", "Bearer  "]
for one in [*odd, "token: ["]:
    assert mask_values({"x": one * (1_000_000 // len(one))})
"""


def test_an_odd_text_takes_no_more_than_its_length_in_steps() -> None:
    run_python("-c", ODD)
