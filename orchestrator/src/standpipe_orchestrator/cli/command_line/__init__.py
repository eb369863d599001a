"""What the verbs share: arguments, completion, and answering with the broker on a console.

The invariant: what goes wrong with the broker is one sentence on stderr and an exit code, never a traceback.
"""
