"""What tests share: real servers, real databases, real processes, and bounded waits.

This room starts real parts and ends them; it holds no assertions about behaviour. The one invariant: whatever is
started here is ended by the object that started it, also when the test run itself is killed.
"""
