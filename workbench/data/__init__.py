"""Data sets: image sources, manifests, identity-disjoint splits, verification pairs, embedding files."""
