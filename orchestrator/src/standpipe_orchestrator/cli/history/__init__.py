"""The verbs that read, export and cancel stored invocations; one module a verb. They launch nothing.

The invariant: text from outside is shown with its control characters written out, unless `--raw` asks for it.
"""
