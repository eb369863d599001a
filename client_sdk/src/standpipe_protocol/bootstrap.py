"""How an external process learns where to report: three environment variables, under 1 KB together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

URL_VARIABLE = "STANDPIPE_URL"
INVOCATION_VARIABLE = "STANDPIPE_INVOCATION"
TOKEN_VARIABLE = "STANDPIPE_TOKEN"  # noqa: S105  the variable's name, not a token
API_KEY_VARIABLE = "STANDPIPE_API_KEY"
HOME_VARIABLE = "STANDPIPE_HOME"
DATABASE_VARIABLE = "STANDPIPE_DATABASE"
UPSTREAM_CONTEXT_VARIABLE = "DAGSTER_PIPES_CONTEXT"
"""By which Dagster itself says that it launched a process."""


class BootstrapError(ValueError):
    """Some of the three variables are there and some are not, or one of them is malformed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """Where an external process reports, and as which invocation."""

    url: str
    """Origin and optional base path, without `/api/v1` and without a trailing slash."""
    invocation: str
    token: str

    def __repr__(self) -> str:
        return f"Bootstrap(url={self.url!r}, invocation={self.invocation!r}, token='***')"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Bootstrap | None:
        """Reads the three variables; None when the process was not launched by an orchestrator.

        The invocation's id decides: a URL alone (which orchestrators set for themselves) launches nothing.

        Raises:
            BootstrapError: the id is there but the URL or the token is not, or the URL is not http(s).
        """
        invocation = environment.get(INVOCATION_VARIABLE, "")
        if not invocation:
            return None
        url = environment.get(URL_VARIABLE, "").rstrip("/")
        token = environment.get(TOKEN_VARIABLE, "")
        missing = [name for name, value in ((URL_VARIABLE, url), (TOKEN_VARIABLE, token)) if not value]
        if missing:
            raise BootstrapError(
                f"{INVOCATION_VARIABLE} is set to {invocation!r} but {' and '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not: pass all three variables on to this process."
            )
        if not url.startswith(("http://", "https://")):
            raise BootstrapError(f"{URL_VARIABLE} is {url!r}; expected an http:// or https:// address.")
        return cls(url=url, invocation=invocation, token=token)

    def to_environment(self) -> dict[str, str]:
        return {URL_VARIABLE: self.url, INVOCATION_VARIABLE: self.invocation, TOKEN_VARIABLE: self.token}
