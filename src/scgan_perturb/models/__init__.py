"""Networks, losses, target distribution, training, files: arrays and tensors, no AnnData."""
