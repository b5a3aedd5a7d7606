"""Pictures on the transfer core: backbones, manifests, training and prediction."""
