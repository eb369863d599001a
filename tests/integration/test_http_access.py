"""Who may do what: every route without a credential, with the wrong one, and with each right one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import ServerFactory
from tests.support.server import Server
from tests.support.wire import Job, custom, opened, problem_of, register

OPEN = {"/healthz", "/readyz"}
PROCESS_CALLS = {
    ("get", "/api/v1/invocations/{invocation_id}/context"),
    ("post", "/api/v1/invocations/{invocation_id}/events"),
    ("post", "/api/v1/invocations/{invocation_id}/heartbeat"),
}
WORDS_OF_NOT_FOUND = "There is nothing at this address, or it is not yours."


@pytest.fixture
def job(shared_server: Server) -> Job:
    return register(shared_server)


@pytest.fixture
def root(shared_server: Server) -> Iterator[httpx.Client]:
    """A client without a credential, for the root of the server."""
    with httpx.Client(base_url=shared_server.url, trust_env=False, timeout=30) as client:
        yield client


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _routes(server: Server) -> list[tuple[str, str]]:
    """Every call the server describes; a unit test holds that description against the application's routes."""
    document: dict[str, Any] = server.http.get(f"{server.url}/openapi.json").json()
    routes = [(method, path) for path, operations in document["paths"].items() for method in operations]
    assert len(routes) > 20
    return routes


def _path(template: str, invocation: str) -> str:
    return template.replace("{invocation_id}", invocation).replace("{key}", "some%2Fkey")


def test_without_a_valid_credential_only_health_is_open(shared_server: Server, root: httpx.Client, job: Job) -> None:
    token = job.registered["token"]
    wrong = [
        {},
        _bearer("nonsense"),
        _bearer(token[:-1]),
        _bearer(shared_server.api_key + "x"),
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {shared_server.api_key}"},
        {"Authorization": shared_server.api_key},
        {"Authorization": "Bearer " + "x" * 5000},
    ]
    for method, template in _routes(shared_server):
        for headers in wrong:
            answer = root.request(method, _path(template, job.id), headers=headers)
            if template in OPEN:
                assert answer.status_code == 200
                assert answer.json() == {"status": "ok"}
            else:
                problem_of(answer, status=401, name="unauthorized")
                assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "path",
    [
        "/healthz/",
        "/x/healthz",
        "/healthz;x",
        "/api/v1/healthz",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/api/v1/unheard-of",
        "/static/x",
        "/metrics",
    ],
)
def test_no_trick_with_a_path_opens_anything(root: httpx.Client, path: str) -> None:
    answer = root.get(path, headers={"Accept": "text/html"})
    problem_of(answer, status=401, name="unauthorized")


@pytest.mark.parametrize("path", ["/", "//healthz", "/readyz/..", "/assets/a%2Fb?tab=checks", "/invocations/inv_x"])
def test_a_browser_without_a_session_is_sent_to_the_login_page_and_told_nothing(root: httpx.Client, path: str) -> None:
    answer = root.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
    assert answer.content == b""
    problem_of(root.get(path), status=401, name="unauthorized")


def test_an_invocations_token_is_good_for_its_own_three_calls_and_nothing_else(
    shared_server: Server, root: httpx.Client, job: Job
) -> None:
    other = register(shared_server)
    headers = _bearer(job.registered["token"])
    for method, template in _routes(shared_server):
        if template in OPEN:
            continue
        own = root.request(method, _path(template, job.id), headers=headers, content=b"" if method == "get" else b"{}")
        foreign = root.request(method, _path(template, other.id), headers=headers)
        absent = root.request(method, _path(template, "inv_none"), headers=headers)
        if (method, template) in PROCESS_CALLS:
            assert own.status_code in (200, 422), (method, template, own.text)
        else:
            assert problem_of(own, status=404, name="not-found")["detail"] == WORDS_OF_NOT_FOUND
        for answer in (foreign, absent):
            problem = problem_of(answer, status=404, name="not-found")
            assert problem["detail"] == WORDS_OF_NOT_FOUND
            assert "control" not in problem


def test_with_other_methods_a_token_reaches_nothing(root: httpx.Client, job: Job) -> None:
    headers = _bearer(job.registered["token"])
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        answer = root.request(method, f"/api/v1/invocations/{job.id}/events", headers=headers)
        assert answer.status_code == 404


def test_the_operator_key_may_do_what_the_process_may(shared_server: Server, job: Job) -> None:
    operator = shared_server.http
    assert operator.post(f"{job.path}/events", json=opened()).status_code == 200
    assert operator.get(f"{job.path}/context").status_code == 200
    assert operator.post(f"{job.path}/heartbeat").json()["control"] == {"cancel_requested": False}
    problem_of(operator.post("/invocations/inv_none/events", json=opened()), status=404, name="not-found")


def test_a_deleted_invocations_token_opens_nothing(shared_server: Server, job: Job) -> None:
    assert job.append(opened()).status_code == 200
    shared_server.http.delete(job.path, params={"force": "true"})
    for answer in (job.append(custom(1)), job.heartbeat(), job.http.get(f"{job.path}/context")):
        assert answer.status_code in (401, 404), answer.text


def test_unknown_paths_and_methods_are_problems_too(shared_server: Server, job: Job) -> None:
    problem_of(shared_server.http.get("/unheard-of"), status=404, name="not-found")
    problem_of(shared_server.http.get("/invocations/"), status=404, name="not-found")
    put = shared_server.http.put("/invocations")
    problem = problem_of(put, status=405, name="method-not-allowed")
    assert set(problem["allowed"]) >= {"GET"} or set(problem["allowed"]) >= {"POST"}
    raw = shared_server.http.put(f"{job.path}/events")
    assert problem_of(raw, status=405, name="method-not-allowed")["allowed"] == ["GET", "POST"]
    assert raw.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/limits", "/api/v1/invocations/inv_none", "/docs", "/nowhere"])
def test_every_answer_is_marked_and_none_is_kept(shared_server: Server, path: str) -> None:
    answer = shared_server.http.get(
        shared_server.url + path, headers={"X-Request-ID": "my-id.7", "Origin": "http://evil.example"}
    )
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"] == "my-id.7"
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_request_id_that_could_forge_a_log_line_is_replaced(root: httpx.Client) -> None:
    for given in ("a b", "x" * 65, "", "a\tb"):
        made = root.get("/healthz", headers={"X-Request-ID": given}).headers["x-request-id"]
        assert made != given
        assert made


def test_health_proves_whose_server_this_is(shared_server: Server, root: httpx.Client) -> None:
    answer = root.get("/healthz", headers={"Standpipe-Challenge": "nonce-1"})
    secret = shared_server.credentials.identity.encode()
    expected = hmac.new(secret, b"standpipe-identity:nonce-1", hashlib.sha256).hexdigest()
    assert answer.headers["standpipe-proof"] == expected
    assert "standpipe-proof" not in root.get("/healthz").headers


def test_limits_are_published(shared_server: Server) -> None:
    limits = shared_server.http.get("/limits").json()
    assert limits["body_bytes"] == 16 * 1024 * 1024
    assert limits["decompressed_bytes"] == 64 * 1024 * 1024
    assert limits["batch_messages"] == 10_000
    assert limits["json_depth"] == 128
    assert limits["protocol"] == "1.1"
    assert limits["server_version"]


def test_metrics_count_what_was_answered(shared_server: Server, job: Job) -> None:
    job.append(custom(1))
    text = shared_server.http.get(f"{shared_server.url}/metrics").text
    assert 'standpipe_http_requests_total{method="POST",route="/api/v1/invocations/{invocation_id}/events",' in text
    assert "standpipe_open_streams 0.0" in text
    assert job.id not in text


def test_the_documentation_page_needs_nothing_from_elsewhere(shared_server: Server) -> None:
    page = shared_server.http.get(f"{shared_server.url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "/api/v1/invocations/{invocation_id}/events" in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text


# Hosts and addresses


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8787", "localhost.evil.example", "127.0.0.1.nip.io", ""]
)
def test_a_name_that_was_bound_to_loopback_is_not_served(root: httpx.Client, host: str) -> None:
    for path in ("/healthz", "/api/v1/limits"):
        problem_of(root.get(path, headers={"Host": host}), status=403, name="forbidden-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:8787", "localhost."])
def test_loopbacks_own_names_are_served(root: httpx.Client, host: str) -> None:
    assert root.get("/healthz", headers={"Host": host}).status_code == 200


def test_allowed_hosts_and_the_public_urls_host_are_served(start_server: ServerFactory) -> None:
    server = start_server(
        arguments=["--allowed-host", "broker.internal", "--public-url", "https://pipes.example/base/"]
    )
    for host in ("broker.internal:8787", "pipes.example", "127.0.0.1"):
        assert httpx.get(f"{server.url}/healthz", headers={"Host": host}, trust_env=False).status_code == 200
    answer = httpx.get(f"{server.url}/healthz", headers={"Host": "other.example"}, trust_env=False)
    problem_of(answer, status=403, name="forbidden-host")


def test_the_public_url_is_what_processes_are_given_and_its_base_path_may_be_there_or_not(
    start_server: ServerFactory,
) -> None:
    server = start_server(arguments=["--public-url", "https://pipes.example/base/"])
    registered = server.http.post("/invocations", json={}).json()
    assert registered["url"] == "https://pipes.example/base"
    assert registered["env"]["STANDPIPE_URL"] == "https://pipes.example/base"
    path = f"/api/v1/invocations/{registered['invocation']['id']}"
    headers = _bearer(registered["token"])
    for base in ("", "/base"):
        append = httpx.post(f"{server.url}{base}{path}/events", json=custom(1), headers=headers, trust_env=False)
        assert append.status_code == 200, append.text
        assert httpx.get(f"{server.url}{base}/healthz", trust_env=False).status_code == 200
        assert server.http.get(f"{server.url}{base}{path}").status_code == 200
    for wrong in ("/base2", "/basebase", "/base/base"):
        assert httpx.get(f"{server.url}{wrong}/healthz", trust_env=False).status_code == 401


@pytest.mark.parametrize("base", ["/api", "/api/v1", "/my%20base"])
def test_a_base_path_may_look_like_the_servers_own_paths(start_server: ServerFactory, base: str) -> None:
    server = start_server(arguments=["--public-url", f"https://pipes.example{base}"])
    for seen in ("", base):
        assert httpx.get(f"{server.url}{seen}/healthz", trust_env=False).status_code == 200
        assert server.http.get(f"{server.url}{seen}/api/v1/limits").status_code == 200
        assert server.http.get(f"{server.url}{seen}/api/v1/assets/a%2Fb").status_code == 404


def test_without_a_public_url_the_requests_own_address_is_given(shared_server: Server) -> None:
    port = httpx.URL(shared_server.url).port
    answer = shared_server.http.post("/invocations", json={}, headers={"Host": f"localhost:{port}"})
    assert answer.json()["env"]["STANDPIPE_URL"] == f"http://localhost:{port}"
