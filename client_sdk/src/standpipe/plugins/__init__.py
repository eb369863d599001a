"""Params loaders, context loaders and message writers under Dagster's names. Most programs need none of them."""
