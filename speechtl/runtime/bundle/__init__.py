"""Bundles: `.wake` files with graphs, settings and the proof of their parity."""
