"""Train a wake word."""
