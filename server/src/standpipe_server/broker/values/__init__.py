"""Values of the rules: states, instants, ids, long integers, and what is masked. Imports no other room."""
