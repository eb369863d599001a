"""What a server of protocol 1.0 can come to know: every verdict for every reason, and what is still going on.

Told in words of protocol 1.0 only, to the server of that time.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.migration import old_courses, old_endings
from tests.migration.old_words import wait_for
from tests.support.server import Server
from tests.support.wire import Job

DUE = "due after a restart"

_STORIES: tuple[Callable[[Server], Job], ...] = (
    old_courses.history_of_an_asset,
    old_endings.succeeded,
    old_endings.red_check,
    old_endings.settled,
    old_endings.cancelled_and_clean,
    old_endings.failed_with_exception,
    old_endings.failed_with_exit_code,
    old_endings.failed_by_exit_code_alone,
    old_endings.failed_by_rejections,
    old_endings.failed_many_times,
    old_endings.cancelled,
    old_endings.cancelled_with_exception,
    old_endings.cancelled_before_it_began,
    old_endings.cancelled_when_sigterm_came,
    old_endings.ended_by_sigterm,
    old_endings.not_launched,
    old_endings.not_launched_and_opened,
    old_endings.never_opened,
    old_endings.never_opened_in_time,
    old_endings.finished_without_a_word,
    old_endings.never_closed,
    old_endings.missing_tail,
    old_endings.ledger_disagrees,
    old_endings.missing_results,
    old_endings.all_at_once,
    old_courses.lost,
    old_courses.lost_before_it_opened,
    old_courses.lost_after_a_cancel,
    old_courses.lost_and_finished,
    old_courses.revived,
    old_courses.revised_to_green,
    old_courses.revised_to_red,
    old_courses.revised_while_failed,
    old_courses.pinned,
    old_courses.unpinned,
    old_courses.retried,
    old_courses.long_log,
    old_courses.by_curl,
    old_courses.large_context,
    old_courses.waiting,
    old_courses.running,
    old_courses.running_without_a_lease,
    old_courses.cancelling,
    old_courses.running_again,
)
ENDS_BY_ITSELF = ("settled", "unpinned", "lost", "lost before it opened", "lost after a cancel", "never opened in time")


def tell(server: Server) -> dict[str, str]:
    """Tells all of it; answers the ids by name. The server has to be stopped within three seconds after."""
    jobs = {story.__name__.replace("_", " "): story(server) for story in _STORIES}
    for name in ENDS_BY_ITSELF:
        wait_for(jobs[name], None)
    jobs["deleted"] = old_endings.settled(server)
    wait_for(jobs["deleted"], "succeeded")
    assert server.http.delete(jobs.pop("deleted").path).status_code == 204
    jobs[DUE] = old_courses.due_after_a_restart(server)
    return {name: job.id for name, job in jobs.items()}
