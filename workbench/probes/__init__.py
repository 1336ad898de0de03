"""Probes: a snapshot of a training -> a result; one file a question."""
