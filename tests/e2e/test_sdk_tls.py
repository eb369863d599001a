"""The client over TLS with a certificate of one's own, as an internal server behind a company's authority has it."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.processes import PYTHON, child_environment, complaints, run

CONTEXT = b'{"context": {"extras": {"over": "tls"}}, "control": {"cancel_requested": false}}'
ACCEPTED = b'{"accepted_through": 1000, "results": [], "control": {"cancel_requested": false}}'
SCRIPT = "from standpipe import open_pipes\nwith open_pipes() as context:\n    print(context.get_extra('over'))\n"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make a certificate with")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(CONTEXT)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(ACCEPTED)

    def _answer(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that trusts nobody hangs up: that is one of the tests."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=standpipe.test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    kind = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    run(["openssl", *kind, *names, "-keyout", folder / "key.pem", "-out", folder / "ca.pem"])
    return folder / "ca.pem"


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server = _Server(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def environment(url: str, tmp_path: Path, **extra: str) -> dict[str, str]:
    ours = {"STANDPIPE_URL": url, "STANDPIPE_INVOCATION": "inv_1", "STANDPIPE_TOKEN": "t", **extra}
    return child_environment({"SSL_CERT_FILE": None, "SSL_CERT_DIR": None, **ours}, home=tmp_path / "home")


@pytest.mark.parametrize("variable", ["STANDPIPE_CA_FILE", "SSL_CERT_FILE"])
def test_a_certificate_of_ones_own_is_trusted_when_it_is_named(
    url: str, certificate: Path, tmp_path: Path, variable: str
) -> None:
    done = run([PYTHON, "-c", SCRIPT], env=environment(url, tmp_path, **{variable: str(certificate)}))
    assert done.stdout == "tls\n"
    assert complaints(done.stderr) == ""


def test_a_certificate_that_nobody_named_is_not_trusted_and_the_reason_is_told(url: str, tmp_path: Path) -> None:
    # Long enough for one handshake on a busy machine: the reason is that of the last attempt.
    patience = {"STANDPIPE_OPEN_TIMEOUT": "5", "STANDPIPE_CLOSE_TIMEOUT": "0"}
    done = run([PYTHON, "-c", SCRIPT], env=environment(url, tmp_path, **patience), check=False)
    assert done.returncode == 1
    assert "PipesServerUnreachable" in done.stderr
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
