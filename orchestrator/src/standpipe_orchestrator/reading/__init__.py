"""From an invocation's events to its results: the thread that reads, what each event means, what is collected."""
