"""Access: who may call what, and people's sessions."""
