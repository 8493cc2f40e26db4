"""AnnData to tensors and back: genes, labels, split, scaling, batches. Knows no networks."""
