"""The two interfaces of a context: where it comes from, and where its messages go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from standpipe.delivery_report import DeliveryReport
    from standpipe_protocol.context import ContextData
    from standpipe_protocol.invocation import Control
    from standpipe_protocol.messages import Message


class ContextSource(Protocol):
    """Where the context comes from."""

    def context(self) -> ContextData:
        """Waits for it, boundedly; raises a `PipesServerError` when it does not arrive."""
        ...


class MessageChannel(Protocol):
    """Where messages go."""

    @property
    def control(self) -> Control: ...

    def send(self, message: Message) -> None: ...

    def flush(self, timeout: float) -> bool: ...

    def close(self, timeout: float | None = None) -> DeliveryReport: ...
