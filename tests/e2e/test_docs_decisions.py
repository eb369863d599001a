"""What decision records claim of the whole service and no other test shows."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server


@pytest.mark.own_interpreter
def test_no_secret_stands_in_the_database_the_log_or_the_command_line(sqlite_server: Server) -> None:
    secrets = {sqlite_server.api_key, sqlite_server.credentials.identity}
    for _ in range(2):
        answer = sqlite_server.http.post("/invocations", json={}, headers={"Idempotency-Key": "once"})
        registered = answer.raise_for_status().json()
        secrets.add(registered["token"])
        job = sqlite_server.client(token=registered["token"])
        message = {"method": "log", "params": {"message": "hello"}}
        job.post(f"/invocations/{registered['invocation']['id']}/events", json=message).raise_for_status()
        job.post("/invocations", json={})  # refused, and perhaps logged
    if sys.platform == "linux":
        command = Path(f"/proc/{sqlite_server.pid}/cmdline").read_bytes()
        assert not [secret for secret in secrets if secret.encode() in command]
    assert sqlite_server.stop() == 0
    assert len(secrets) == 4
    for file in sqlite_server.home.rglob("*"):
        if file.is_file() and file.name != "credentials.json":
            found = [secret for secret in secrets if secret.encode() in file.read_bytes()]
            assert found == [], f"{file.name} holds a secret."
    assert not [secret for secret in secrets if secret in sqlite_server.output()]


@pytest.mark.parametrize("letters", ["ascii", "four bytes each"])
def test_a_name_of_512_characters_is_kept_and_found_and_a_longer_one_refused(
    shared_server: Server, letters: str
) -> None:
    # Random ones: the database could compress others into an index entry.
    draw = random.Random(letters)
    pick = (lambda: chr(draw.randrange(0x10000, 0x1F000))) if letters != "ascii" else (lambda: draw.choice("abcxyz"))
    name = "".join(pick() for _ in range(512))
    http = shared_server.http
    context = {"job_name": name, "run_id": name, "partition_key": name, "asset_keys": [name]}
    registered = http.post("/invocations", json={"context": context, "tags": {name[:128]: name}})
    invocation = registered.raise_for_status().json()["invocation"]["id"]
    for message in (
        {"method": "report_asset_materialization", "params": {"asset_key": name, "data_version": name}},
        {"method": "report_asset_check", "params": {"asset_key": name, "check_name": name, "passed": True}},
    ):
        http.post(f"/invocations/{invocation}/events", json=message).raise_for_status()
    found = http.get("/invocations", params={"job_name": name, "tag": f"{name[:128]}={name}"}).json()["items"]
    assert [each["id"] for each in found] == [invocation]
    checks = http.get(f"/assets/{httpx.URL(path=f'/{name}').raw_path.decode()[1:]}/checks").json()["items"]
    assert [each["check_name"] for each in checks] == [name]

    longer = name + "x"
    refused = http.post("/invocations", json={"context": {"job_name": longer}})
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/context/job_name")
    message = {"method": "report_asset_check", "params": {"asset_key": name, "check_name": longer, "passed": True}}
    rejected = http.post(f"/invocations/{invocation}/events", json=message)
    assert (rejected.status_code, rejected.json()["pointer"]) == (422, "/params/check_name")
