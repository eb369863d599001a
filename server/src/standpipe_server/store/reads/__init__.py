"""Reads: functions of a connection, run on threads of this room. They write nothing."""
