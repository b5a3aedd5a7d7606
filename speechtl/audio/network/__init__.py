"""The layers of a wake-word network."""
