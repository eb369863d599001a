"""Lifecycle: registration, attempts, leases, launches and the reports of an end."""
