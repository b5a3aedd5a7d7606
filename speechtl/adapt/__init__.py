"""Adapt a detector to labelled clips of where it listens."""
