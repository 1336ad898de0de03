"""Losses: softmax losses with margins (margin_softmax), their criteria, scales and extra terms; the triplet loss."""
