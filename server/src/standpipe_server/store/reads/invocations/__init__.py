"""Reading invocations: one, lists of them, and several beside each other."""
