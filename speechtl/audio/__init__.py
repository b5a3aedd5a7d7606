"""Wake words: encoders, heads, manifests, augmentation, training and evaluation."""
