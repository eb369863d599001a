"""What stands between a client and its server, and answers in the server's place for as long as a test wants it to."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import httpx

from standpipe.testing import RecordingBroker
from standpipe_protocol.bootstrap import Bootstrap
from tests.support.stub_broker import Reply, Request, StubBroker

_PASSED_ON = ("authorization", "content-type", "content-encoding", "accept")


@dataclass
class Interposed:
    """Gives `reply` while there is one, and passes requests on to the broker otherwise."""

    broker: RecordingBroker
    reply: Reply | None = None
    url: str = ""
    replied: int = 0

    @property
    def bootstrap(self) -> Bootstrap:
        """As whoever is launched behind it has it."""
        return replace(self.broker.bootstrap, url=self.url)

    def answer(self, request: Request) -> Reply:
        if self.reply is not None:
            self.replied += 1
            return self.reply
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in _PASSED_ON or name.startswith("standpipe-")
        }
        with httpx.Client(trust_env=False) as client:
            answer = client.request(
                request.method, f"{self.broker.url}{request.path}", headers=headers, content=request.body
            )
        return Reply(answer.status_code, {"Content-Type": answer.headers["content-type"]}, (answer.content,))


@contextmanager
def interposed(broker: RecordingBroker) -> Generator[Interposed]:
    """Listens until the end of the block."""
    between = Interposed(broker)
    with StubBroker(between.answer) as stub:
        between.url = stub.url
        yield between
