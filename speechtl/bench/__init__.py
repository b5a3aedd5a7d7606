"""The latency harness: what a bundle costs on a machine, and reports that can be compared between machines."""
