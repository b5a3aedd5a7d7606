"""Evaluate a wake word on continuous audio, and report it."""
