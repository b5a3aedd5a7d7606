"""Export of runs as bundles: graphs, int8, golden audio, parity."""
