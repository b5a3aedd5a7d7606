"""The benchmark: cost of a bundle on a machine, and reports that can be compared between machines."""
