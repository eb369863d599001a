"""HTTP itself: requests read within limits, parameters checked, answers and problems written. Knows no route."""
