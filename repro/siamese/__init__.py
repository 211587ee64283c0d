"""Siamese pretext learning with the affine-hull dissimilarity (Section 2.2)."""
