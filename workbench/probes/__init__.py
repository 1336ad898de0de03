"""Probes: measurements on a snapshot of a training run; one file per question, with its result class."""
