"""The compose project and the images: locked by default, and complete as far as can be said without a registry."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.processes import REPOSITORY, child_environment, run

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "server", "job")


def compose_command() -> list[str] | None:
    """`docker compose`, or the older `docker-compose`, whichever runs here."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        asked = subprocess.run([*command, "version"], capture_output=True, check=False, env=child_environment())
        if asked.returncode == 0:
            return command
    return None


def test_the_compose_file_is_accepted_by_compose() -> None:
    command = compose_command()
    if command is None:
        pytest.skip("Neither `docker compose` nor `docker-compose` is installed here; the other tests read the file.")
    env = child_environment({"STANDPIPE_INVOCATION": None, "STANDPIPE_TOKEN": None})
    run([*command, "--file", "docker-compose.yml", "config", "--quiet"], cwd=REPOSITORY, env=env)


def test_every_published_port_is_on_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_secret_stands_in_the_compose_file() -> None:
    secrets: dict[str, dict[str, Any]] = COMPOSE["secrets"]
    assert all(set(secret) == {"file"} for secret in secrets.values())
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert used == set(secrets)
    for service in SERVICES.values():
        values = service.get("environment", {})
        assert not {"STANDPIPE_API_KEY", "PGPASSWORD", "POSTGRES_PASSWORD"} & set(values)
        assert "@" not in values.get("STANDPIPE_DATABASE", "").split("standpipe@")[0]


def test_the_schema_is_brought_up_to_date_once_before_the_server_starts() -> None:
    assert SERVICES["migrate"]["command"] == ["migrate"]
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["server"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["server"]["environment"]["STANDPIPE_MIGRATE"] == "check"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_the_job_knows_its_invocations_token_and_nothing_more() -> None:
    job = SERVICES["job"]
    assert set(job["environment"]) == {"STANDPIPE_URL", "STANDPIPE_INVOCATION", "STANDPIPE_TOKEN"}
    assert "secrets" not in job
    assert job["profiles"] == ["job"]


@pytest.mark.parametrize("path", ["Dockerfile", "examples/job-container/Dockerfile"])
def test_an_image_is_built_by_hash_and_runs_without_root(path: str) -> None:
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    final = text.rsplit("\nFROM ", 1)[1]
    assert text.count("--require-hashes") == 2
    assert "\nUSER " in final
    assert "root" not in final.split("\nUSER ", 1)[1].split("\n", 1)[0]
    # What is copied must not be kept from the builder.
    allowed = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        word
        for line in text.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists()
        assert any(source == entry or source.startswith(entry + "/") for entry in allowed), source
