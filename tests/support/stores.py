"""Short ways to use a store: a command, and the invocation as it is afterwards."""

from __future__ import annotations

from standpipe_server.broker.lifecycle.requests import Registration
from standpipe_server.broker.values.state import Finish
from standpipe_server.store import Store, Target
from standpipe_server.store.commands import FinishInvocation, Register, RequestCancel
from standpipe_server.store.reads import find_target
from standpipe_server.store.reads.invocations import InvocationView, read_invocation


async def registered(store: Store, registration: Registration) -> Target:
    made = await store.writes.run(Register(registration, None, b""))
    return await store.reads.run(find_target, made.id)


async def finished(store: Store, invocation_id: str, finish: Finish) -> InvocationView:
    target = await store.reads.run(find_target, invocation_id)
    await store.writes.run(FinishInvocation(target.pk, finish))
    return await store.reads.run(read_invocation, invocation_id)


async def cancelled(store: Store, invocation_id: str) -> InvocationView:
    target = await store.reads.run(find_target, invocation_id)
    await store.writes.run(RequestCancel(target.pk))
    return await store.reads.run(read_invocation, invocation_id)
