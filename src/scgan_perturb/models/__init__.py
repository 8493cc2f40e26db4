"""Fitted models: predict, perturb, save and load. No AnnData."""
