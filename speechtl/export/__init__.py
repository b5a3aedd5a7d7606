"""From a run to a bundle: graphs, golden audio, parity."""
