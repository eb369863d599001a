"""How a person gets to the pages: links that work once, the operator key, cookies, tokens against forged requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import ServerFactory
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import opened, problem_of, register

HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def person(shared_server: Server) -> Iterator[httpx.Client]:
    """A browser without a session; it keeps cookies and follows nothing by itself."""
    with httpx.Client(base_url=shared_server.url, headers=HTML, trust_env=False, timeout=30) as client:
        yield client


def link_of(server: Server) -> str:
    answer = server.http.post("/login-links")
    assert answer.status_code == 201
    assert answer.json()["url"].startswith(server.url + "/login?code=")
    return answer.json()["url"]


def sign_in(person: httpx.Client, server: Server) -> None:
    assert person.get(link_of(server)).status_code == 303


def csrf_of(person: httpx.Client) -> str:
    found = re.search(r'name="standpipe-csrf" content="([^"]+)"', person.get("/").text)
    assert found
    return found[1]


def test_a_link_signs_in_once_with_a_cookie_that_scripts_and_other_sites_cannot_use(
    shared_server: Server, person: httpx.Client
) -> None:
    link = link_of(shared_server)
    answer = person.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    for mark in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="):
        assert mark in cookie
    assert person.get("/").status_code == 200
    with httpx.Client(base_url=shared_server.url, headers=HTML, trust_env=False) as other:
        again = other.get(link)
        assert again.status_code == 403
        assert "set-cookie" not in again.headers
        assert "standpipe open" in again.text


def test_looking_ahead_at_a_link_does_not_use_it_up(shared_server: Server, person: httpx.Client) -> None:
    link = link_of(shared_server)
    assert "set-cookie" not in person.head(link).headers
    assert "set-cookie" in person.get(link).headers


def test_the_operator_key_signs_in_and_a_wrong_one_does_not(shared_server: Server, person: httpx.Client) -> None:
    page = person.get("/login")
    assert page.status_code == 200
    assert "<script" not in page.text
    wrong = person.post("/login", data={"key": shared_server.api_key + "x"})
    assert wrong.status_code == 403
    assert "set-cookie" not in wrong.headers
    assert shared_server.api_key not in wrong.text
    right = person.post("/login", data={"key": shared_server.api_key, "next": "/assets?text=a"})
    assert (right.status_code, right.headers["location"]) == (303, "/assets?text=a")
    assert person.get("/assets").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_site_cannot_sign_a_browser_in(
    shared_server: Server, person: httpx.Client, headers: dict[str, str]
) -> None:
    answer = person.post("/login", data={"key": shared_server.api_key}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "following",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/login", "/api/v1/limits", "javascript:x", "/\nb"],
)
def test_signing_in_leads_to_a_page_of_ours_and_nowhere_else(
    shared_server: Server, person: httpx.Client, following: str
) -> None:
    answer = person.post("/login", data={"key": shared_server.api_key, "next": following})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_whoever_followed_a_link_without_a_session_returns_to_it(shared_server: Server, person: httpx.Client) -> None:
    sent = person.get("/assets/pre%2Fa%5C%2Fb?tab=checks")
    page = person.get(sent.headers["location"])
    found = re.search(r'name="next" value="([^"]+)"', page.text)
    assert found
    answer = person.post("/login", data={"key": shared_server.api_key, "next": found[1].replace("&amp;", "&")})
    assert answer.headers["location"] == "/assets/pre/a%5C/b?tab=checks"


def test_a_link_on_another_site_is_loaded_anew_so_that_the_strict_cookie_comes_along(person: httpx.Client) -> None:
    answer = person.get("/invocations/inv_x?tab=logs", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert '<meta http-equiv="refresh" content="0">' in answer.text
    again = person.get("/invocations/inv_x?tab=logs", headers={"Sec-Fetch-Site": "same-origin"})
    assert again.status_code == 303


def test_with_a_session_the_api_is_read_and_changed_only_with_the_pages_token(
    shared_server: Server, person: httpx.Client
) -> None:
    job = register(shared_server)
    job.append([opened()])
    path = f"/api/v1/invocations/{job.id}"
    problem_of(person.get(path), status=401, name="unauthorized")
    sign_in(person, shared_server)
    assert person.get(path).json()["id"] == job.id
    token = csrf_of(person)
    for headers in ({}, {"Standpipe-CSRF": ""}, {"Standpipe-CSRF": token[:-1] + "!"}):
        problem_of(person.post(f"{path}/cancel", headers=headers), status=403, name="wrong-csrf-token")
        problem_of(person.delete(f"{path}?force=true", headers=headers), status=403, name="wrong-csrf-token")
    assert job.read()["cancel_requested"] is False
    assert person.post(f"{path}/cancel", headers={"Standpipe-CSRF": token}).json()["cancel_requested"] is True


def test_a_sessions_token_is_its_own(shared_server: Server, person: httpx.Client) -> None:
    sign_in(person, shared_server)
    with httpx.Client(base_url=shared_server.url, headers=HTML, trust_env=False) as other:
        sign_in(other, shared_server)
        foreign = csrf_of(other)
    assert csrf_of(person) != foreign
    answer = person.post("/api/v1/login-links", headers={"Standpipe-CSRF": foreign})
    problem_of(answer, status=403, name="wrong-csrf-token")


def test_a_cookie_that_was_changed_or_made_up_is_none(shared_server: Server, person: httpx.Client) -> None:
    sign_in(person, shared_server)
    (name, value), *_ = person.cookies.items()
    until, nonce, signature = value.split(".")
    forged = [
        f"{int(until) + 1}.{nonce}.{signature}",
        f"{until}.{nonce}x.{signature}",
        f"{until}.{nonce}.{signature[:-2]}",
        f"1.{nonce}.{signature}",
        "..",
        "",
        "x" * 5000,
        f"{until}.{nonce}.é",
    ]
    for wrong in forged:
        headers = {b"Cookie": f"{name}={wrong}".encode()}
        answer = httpx.get(f"{shared_server.url}/api/v1/limits", headers=headers, trust_env=False)
        problem_of(answer, status=401, name="unauthorized")


def test_a_wrong_header_is_not_mended_by_a_cookie(shared_server: Server, person: httpx.Client) -> None:
    sign_in(person, shared_server)
    for value in ("Bearer nonsense", "Bearer", "Basic x"):
        answer = person.get("/api/v1/limits", headers={"Authorization": value})
        problem_of(answer, status=401, name="unauthorized")


def test_signing_out_takes_the_cookie_away(shared_server: Server, person: httpx.Client) -> None:
    sign_in(person, shared_server)
    problem_of(person.post("/logout"), status=403, name="wrong-csrf-token")
    answer = person.post("/logout", headers={"Standpipe-CSRF": csrf_of(person)})
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert person.get("/").status_code == 303


def test_a_copy_of_a_cookie_that_was_signed_out_opens_nothing_and_no_other_session_ends(
    start_server: ServerFactory, sqlite_url: str
) -> None:
    server = start_server(database_url=sqlite_url)
    with (
        httpx.Client(base_url=server.url, headers=HTML, trust_env=False) as person,
        httpx.Client(base_url=server.url, headers=HTML, trust_env=False) as other,
    ):
        sign_in(person, server)
        sign_in(other, server)
        copied = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
        token = csrf_of(person)
        person.post("/logout", headers={"Standpipe-CSRF": token})

        def copy_opens_nothing() -> None:
            limits = httpx.get(f"{server.url}/api/v1/limits", headers={"Cookie": copied}, trust_env=False)
            problem_of(limits, status=401, name="unauthorized")
            link = httpx.post(
                f"{server.url}/api/v1/login-links",
                headers={"Cookie": copied, "Standpipe-CSRF": token},
                trust_env=False,
            )
            problem_of(link, status=401, name="unauthorized")
            assert other.get("/").status_code == 200

        copy_opens_nothing()
        server.restart()
        copy_opens_nothing()
        kept = server.home / "ended-sessions.json"
        assert kept.stat().st_mode & 0o077 == 0
        assert copied.partition("=")[2] not in kept.read_text(encoding="utf-8")


def test_when_nobody_can_tell_which_sessions_were_ended_all_of_them_are(
    start_server: ServerFactory, sqlite_url: str
) -> None:
    server = start_server(database_url=sqlite_url)
    with httpx.Client(base_url=server.url, headers=HTML, trust_env=False) as person:
        sign_in(person, server)
        server.stop()
        (server.home / "ended-sessions.json").write_text("torn", encoding="utf-8")
        server.start()
        assert person.get("/").status_code == 303
        assert "sign in again" in server.output()


def test_pages_load_nothing_from_elsewhere_and_run_no_script_of_theirs(
    shared_server: Server, person: httpx.Client
) -> None:
    sign_in(person, shared_server)
    page = person.get("/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.text)
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) >= 4
    for source in sources:
        file = person.get(source, headers={"Accept-Encoding": "gzip"})
        assert file.status_code == 200
        assert file.headers["x-content-type-options"] == "nosniff"
        assert "immutable" in file.headers["cache-control"]
        assert "no-store" not in file.headers["cache-control"]


def test_no_file_but_the_builds_is_served(shared_server: Server, person: httpx.Client) -> None:
    sign_in(person, shared_server)
    for name in ("manifest.json", "..%2fshell.py", "%2e%2e%2fshell.py", "app.js", "", "a/b"):
        problem_of(person.get(f"/static/{name}"), status=404, name="not-found")


def test_a_page_is_not_given_to_an_invocations_token(shared_server: Server, person: httpx.Client) -> None:
    token = register(shared_server).registered["token"]
    for path in ("/", "/assets", "/static/x", "/api/v1/login-links"):
        answer = person.get(path, headers={"Authorization": f"Bearer {token}"})
        problem_of(answer, status=404, name="not-found")


def test_the_server_prints_a_link_that_works_and_sessions_outlive_a_restart_but_not_the_key(
    start_server: ServerFactory, sqlite_url: str
) -> None:
    server = start_server(database_url=sqlite_url)
    printed = wait_until(lambda: re.search(r"http\S+/login\?code=\S+", server.output()), what="the printed link")
    with httpx.Client(base_url=server.url, headers=HTML, trust_env=False) as person:
        assert printed is not None
        assert "set-cookie" in person.get(printed[0]).headers
        server.restart()
        assert person.get("/").status_code == 200
        key = "another-key-of-sixteen"
        server.stop()
        other = start_server(
            home=server.home,
            database_url=sqlite_url,
            arguments=["--port", str(urlsplit(str(person.base_url)).port)],
            env={"STANDPIPE_API_KEY": key},
        )
        assert other.url == server.url
        assert person.get("/").status_code == 303


def test_below_a_base_path_pages_cookies_and_files_stay_there(start_server: ServerFactory, sqlite_url: str) -> None:
    server = start_server(database_url=sqlite_url, arguments=["--public-url", "https://pipes.example/team/pipes"])
    link = server.http.post("/login-links").json()["url"]
    assert link.startswith("https://pipes.example/team/pipes/login?code=")
    # A proxy may take the base path off or leave it.
    with httpx.Client(base_url=server.url, headers=HTML, trust_env=False) as person:
        answer = person.get(link.removeprefix("https://pipes.example"))
        assert answer.headers["location"] == "/team/pipes/"
        cookie = answer.headers["set-cookie"]
        assert "Path=/team/pipes;" in cookie
        assert "Secure" in cookie
        headers = {"Cookie": cookie.partition(";")[0]}
        for path in ("/team/pipes/", "/"):
            page = person.get(path, headers=headers)
            assert page.status_code == 200
            assert 'src="/team/pipes/static/' in page.text
        (script, *_) = re.findall(r'src="([^"]+)"', page.text)
        assert person.get(script, headers=headers).status_code == 200
