"""Wake-ups: who waits for an invocation learns that something was committed, and reads it from the store.

A wake-up is a hint and carries no data, so it may be lost, merged or told twice without harm: the store is the truth
and a slow poll the backstop. The one invariant: nothing in this room holds a database session while it waits.
"""
