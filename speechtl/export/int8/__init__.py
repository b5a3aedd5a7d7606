"""Quantise step graphs to int8."""
