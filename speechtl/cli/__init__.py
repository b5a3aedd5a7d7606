"""The `speechtl` command line."""
