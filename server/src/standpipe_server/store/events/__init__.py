"""Events as they are stored: segments, pages of events, and the events that were committed last.

Knows no transaction. Invariant: a stored message keeps its own bytes; reading splices them into an event.
"""

from standpipe_server.store.events.event_pages import read_event_page_before

__all__ = ["read_event_page_before"]
