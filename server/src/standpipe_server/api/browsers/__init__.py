"""What people browse: lists, counts, comparisons, the first errors, and history by asset."""
