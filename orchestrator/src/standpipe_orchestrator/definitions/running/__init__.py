"""One run of definitions: its plan, its steps, and how they ended. `definitions` is its door."""
