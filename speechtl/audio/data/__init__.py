"""Recordings: manifests, folders, tables, and what is checked about them."""
