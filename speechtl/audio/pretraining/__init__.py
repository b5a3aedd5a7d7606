"""Pretrain the project's own encoder: recognise phones (CTC), and foretell what a larger encoder hears."""
