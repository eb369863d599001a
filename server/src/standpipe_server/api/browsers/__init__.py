"""What people browse: lists, counts, comparisons, history by asset, errors, and their login."""
