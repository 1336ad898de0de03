"""Views: a result in, a plotly Figure out. Nothing is measured here."""
