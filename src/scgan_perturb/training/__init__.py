"""Training loops, checkpoints, and the recipes that run them."""
