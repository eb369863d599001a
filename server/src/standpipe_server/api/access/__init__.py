"""Access: who may call what, people's sessions, and rates. Decides before anything of a body is read."""
