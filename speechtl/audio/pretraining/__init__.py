"""Pretraining of the project's own encoder: phones by CTC, and distillation from a larger encoder."""
