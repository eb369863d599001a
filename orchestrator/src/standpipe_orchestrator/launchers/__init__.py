"""Ways to start external work. Each opens a session, passes its environment on, waits, and finishes the invocation.

A launcher never decides how the work ended: it says what it saw (exit code, end of stderr), and the
broker gives the verdict.
"""
