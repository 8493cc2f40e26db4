"""Results written to an AnnData, in memory, in a file or lazily; the identity of a fit."""
