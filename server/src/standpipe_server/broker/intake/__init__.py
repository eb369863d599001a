"""Intake: what a batch means against what is stored."""
