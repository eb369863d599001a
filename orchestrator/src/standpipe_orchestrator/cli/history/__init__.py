"""The verbs that read, export and cancel stored invocations; one module a verb."""
