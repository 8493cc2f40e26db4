"""Modules and losses: tensors in, tensors out."""
