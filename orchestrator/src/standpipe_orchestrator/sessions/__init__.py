"""One launch of external work: registration, lease, reading, finish. Its doors are `opening` and `pipes_session`."""
