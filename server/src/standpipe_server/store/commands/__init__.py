"""Commands: what a writer does in a transaction, one frozen class each; `Store.writes` runs them.

A command asks the broker's rules under the invocation's row lock and puts back what they decided. It imports the reads,
never the other way round. Invariant: a command that refuses has put nothing back.
"""

from standpipe_server.store.commands.append import Append, AppendOutcome
from standpipe_server.store.commands.attempt_numbers import NumberAttempt
from standpipe_server.store.commands.launch import FinishInvocation, Launch
from standpipe_server.store.commands.lifecycle import Delete, Pin, RecordHeartbeat, Register, Registered, RequestCancel
from standpipe_server.store.commands.refuse import Refuse

__all__ = [
    "Append",
    "AppendOutcome",
    "Delete",
    "FinishInvocation",
    "Launch",
    "NumberAttempt",
    "Pin",
    "RecordHeartbeat",
    "Refuse",
    "Register",
    "Registered",
    "RequestCancel",
]
