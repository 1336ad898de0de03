"""Evaluation on held-out identities: verification and identification metrics from embeddings or scores."""
