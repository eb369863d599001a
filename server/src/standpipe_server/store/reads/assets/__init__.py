"""Reading by asset, across invocations."""
