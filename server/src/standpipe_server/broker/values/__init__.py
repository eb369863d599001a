"""Values of the rules: states, instants, ids, and what is masked."""
