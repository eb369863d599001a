"""The exit status of a child process, as the kernel has it: None where another took it, never a guess.

Where SIGCHLD is ignored (a setting that a program inherits from the one that started it) the kernel keeps no status,
and Python's `Popen.wait` then answers 0. So SIGCHLD has its default while a command, a session or a run of steps is
under way, also in what they start. Where other code of this process waits for all children, it may be faster, and the
status is not known here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


class ChildStatuses:
    """While any block of it runs, the kernel keeps the statuses of this process's children. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._was_ignored = False

    def __enter__(self) -> None:
        with self._lock:
            if self._blocks == 0:
                self._was_ignored = _is_ignored() and _set_ignored(False)
            self._blocks += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0 and self._was_ignored and _has_default() and _set_ignored(True):
                _reap_ended()


child_statuses = ChildStatuses()
"""Of this process, which has one setting for SIGCHLD."""


def wait_for_status(process: subprocess.Popen[bytes]) -> int | None:
    """Waits for the end of a process: its exit code, negative for a signal, or None where another took it."""
    if sys.platform == "win32":
        return process.wait()
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
    except ChildProcessError:
        code = None
    # Popen would look for it as well, and take a status that it does not find for 0.
    process.returncode = 255 if code is None else code
    return code


if sys.platform == "win32":

    def _is_ignored() -> bool:
        return False

    def _has_default() -> bool:
        return False

    def _set_ignored(ignored: bool) -> bool:
        return not ignored

    def _reap_ended() -> None:
        return

else:
    _DEFAULT, _IGNORED = 0, 1
    """SIG_DFL and SIG_IGN as the C library has them."""

    def _is_ignored() -> bool:
        return _disposition() == _IGNORED

    def _has_default() -> bool:
        return _disposition() == _DEFAULT

    def _disposition() -> int:
        """What the kernel does with SIGCHLD; Python's own table does not know what C code has set."""
        try:
            import ctypes

            get = ctypes.pythonapi.PyOS_getsig
        except (ImportError, AttributeError):
            handler = signal.getsignal(signal.SIGCHLD)
            return int(handler) if isinstance(handler, signal.Handlers) else -1
        get.argtypes, get.restype = [ctypes.c_int], ctypes.c_void_p
        return get(signal.SIGCHLD) or _DEFAULT

    def _set_ignored(ignored: bool) -> bool:
        """Sets it, and says whether that was possible: `signal.signal` works on the main thread only."""
        try:
            import ctypes

            set_ = ctypes.pythonapi.PyOS_setsig
        except (ImportError, AttributeError):
            if threading.current_thread() is not threading.main_thread():
                return False
            signal.signal(signal.SIGCHLD, signal.SIG_IGN if ignored else signal.SIG_DFL)
            return True
        set_.argtypes, set_.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
        set_(signal.SIGCHLD, _IGNORED if ignored else _DEFAULT)
        return True

    def _reap_ended() -> None:
        # What ended in this time is gone, as it would be had SIGCHLD been ignored all along.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
