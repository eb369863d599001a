"""The outbox of one producer: it numbers messages, keeps them until they are acknowledged, and reports what became of
them. Knows nothing of the context that user code calls."""
