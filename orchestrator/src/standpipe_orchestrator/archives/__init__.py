"""An invocation as a file: written, stored again, and replayed."""
