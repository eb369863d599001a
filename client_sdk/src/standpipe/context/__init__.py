"""What user code calls: the context, its rules, its log handler, and the register of open contexts.

Knows no network: messages leave through a `MessageChannel`.
"""
