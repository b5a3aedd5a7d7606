"""Bundles: `.wake` files with graphs, settings and measured parity."""
