"""HTTP itself: requests read within limits, answers and problems written."""
