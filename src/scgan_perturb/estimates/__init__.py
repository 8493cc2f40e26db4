"""Estimates of the classes before training: means, spreads, factors, maps."""
