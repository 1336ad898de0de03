"""Evaluation: embeddings or scores of people never trained on -> a result."""
