"""Which ways out of the block are a clean end: exits with status 0, also those of click and typer, and no others."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Generator
from enum import IntEnum
from typing import NoReturn

import click
import click.exceptions
import pytest
import typer

from standpipe import open_pipes
from standpipe.testing import RecordingBroker, recording_broker
from tests.support.processes import run_python


class Status(IntEnum):
    DONE = 0
    LATE = 75


class DoneEarly(click.exceptions.Exit):
    """As programs derive an exit of their own."""


class Exit(Exception):
    """A program's own, which Python takes for a failure whatever is in it."""

    exit_code = 0


class FloatThatEqualsZero(float):
    pass


def ended_by(leave: Callable[[], object]) -> str | None:
    """The name of the exception with which the broker knows the end, or None for a clean one."""
    with recording_broker() as broker, broker.environment():
        with contextlib.suppress(BaseException), open_pipes():
            leave()
        return name_of_exception(broker)


def name_of_exception(broker: RecordingBroker) -> str | None:
    assert broker.closed is not None
    return None if broker.closed.exception is None else broker.closed.exception.name


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def leave() -> NoReturn:
        raise error

    return leave


@pytest.mark.parametrize(
    "error",
    [
        *(SystemExit(), SystemExit(None), SystemExit(0), SystemExit(False), SystemExit(Status.DONE)),
        *(typer.Exit(), typer.Exit(0), click.exceptions.Exit(), click.exceptions.Exit(0), DoneEarly(0)),
    ],
    ids=repr,
)
def test_an_exit_with_status_zero_is_a_clean_end(error: BaseException) -> None:
    assert ended_by(raising(error)) is None


@pytest.mark.parametrize(
    "error",
    [
        *(SystemExit(1), SystemExit(True), SystemExit("no orders"), SystemExit(""), SystemExit(Status.LATE)),
        # The interpreter prints these and ends with status 1, although they equal 0.
        *(SystemExit(0.0), SystemExit(FloatThatEqualsZero()), SystemExit(0, 0)),
        *(typer.Exit(3), click.exceptions.Exit(3), DoneEarly(3), typer.Abort(), click.Abort()),
        *(click.UsageError("no such option"), click.ClickException("no orders"), Exit()),
        *(KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), StopIteration(0)),
    ],
    ids=repr,
)
def test_everything_else_is_a_failure(error: BaseException) -> None:
    assert ended_by(raising(error)) == type(error).__name__


def test_an_exit_that_close_is_handed_is_the_same() -> None:
    for error, name in ((SystemExit(0), None), (typer.Exit(), None), (SystemExit(2), "SystemExit")):
        with recording_broker() as broker, broker.environment():
            context = open_pipes()
            try:
                raise error
            except BaseException:
                context.close(sys.exc_info()[1])
            assert name_of_exception(broker) == name


# A command that opens by itself, and one around which the program has opened.
@pytest.mark.parametrize("opens_inside", [True, False])
@pytest.mark.parametrize(
    ("code", "status", "name"), [(None, 0, None), (0, 0, None), (3, 3, "Exit"), ("abort", 1, "Abort")]
)
def test_a_command_of_typer(opens_inside: bool, code: int | str | None, status: int, name: str | None) -> None:
    app = typer.Typer()

    @app.command()
    def load() -> None:  # pyright: ignore[reportUnusedFunction]  typer calls it
        with open_pipes() if opens_inside else contextlib.nullcontext():
            raise typer.Abort if code == "abort" else typer.Exit() if code is None else typer.Exit(int(code))

    with recording_broker() as broker, broker.environment():
        with pytest.raises(SystemExit) as caught, contextlib.nullcontext() if opens_inside else open_pipes():
            app([])
        assert caught.value.code == status
        assert name_of_exception(broker) == (name if opens_inside or name is None else "SystemExit")


@pytest.mark.parametrize("standalone", [True, False])
def test_a_command_of_click_that_ends_early(standalone: bool) -> None:
    @click.command()
    @click.pass_context
    def load(command: click.Context) -> None:
        with open_pipes():
            command.exit()

    with recording_broker() as broker, broker.environment():
        if standalone:
            with pytest.raises(SystemExit):
                load([])
        else:
            assert load([], standalone_mode=False) == 0
        assert name_of_exception(broker) is None


def test_a_command_of_click_within_the_block_that_hands_back_its_exit() -> None:
    @click.command()
    @click.pass_context
    def load(command: click.Context) -> None:
        command.exit(3)

    assert ended_by(lambda: sys.exit(load([], standalone_mode=False))) == "SystemExit"
    assert ended_by(lambda: load(["--help"])) is None
    assert ended_by(lambda: load(["--no-such-option"])) == "SystemExit"
    assert ended_by(lambda: load(["--no-such-option"], standalone_mode=False)) == "NoSuchOption"


def test_a_task_that_is_cancelled_and_a_generator_that_is_given_up_have_not_finished() -> None:
    async def work() -> None:
        started = asyncio.Event()

        async def report() -> None:
            with open_pipes() as context:
                context.report_custom_message(1)
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(report())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with recording_broker() as broker, broker.environment():
        asyncio.run(work())
        assert name_of_exception(broker) == "CancelledError"

    def rows() -> Generator[int]:
        with open_pipes():
            yield from range(3)

    with recording_broker() as broker, broker.environment():
        given_up = rows()
        next(given_up)
        given_up.close()
        assert name_of_exception(broker) == "GeneratorExit"
    with recording_broker() as broker, broker.environment():
        assert list(rows()) == [0, 1, 2]
        assert name_of_exception(broker) is None


def test_neither_click_nor_typer_is_imported() -> None:
    program = (
        "import sys, contextlib\n"
        "from standpipe import open_pipes\n"
        "class Exit(RuntimeError):\n    __module__ = 'typer.exceptions'\n    exit_code = 0\n"
        "with contextlib.suppress(Exit), open_pipes():\n    raise Exit\n"
        "print({'click', 'typer'} & set(sys.modules))\n"
    )
    assert run_python("-W", "ignore", "-c", program).stdout == "set()\n"
