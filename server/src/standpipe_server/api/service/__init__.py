"""The service itself: health, limits, metrics, login links, and the description of the API."""
