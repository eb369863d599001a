"""The text of objects of user code, some of which have none: `str()` of a detached row or of a half-made object raises.

The invariant: nothing here raises, and what comes out is a plain string of bounded length.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_REASON = 1000
"""Of what went wrong, in a sentence for people."""


def text_of(value: object, *, most: int) -> str:
    """`str(value)`, or why that cannot be had; of a longer one the first `most` characters."""
    return text_by(lambda: str(value), value, most=most)


def text_by(make: Callable[[], str], value: object, *, most: int) -> str:
    """What `make` gives as the text of a value, or why it gives none."""
    try:
        # By the class itself: a subclass of `str` may have methods of its own.
        text = str.__str__(make())
        return str.__getitem__(text, slice(None, most))
    except Exception as error:
        return f"<{type(value).__name__}: its text cannot be read ({type(error).__name__})>"
