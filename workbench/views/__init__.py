"""Views: plotly figures of results; one file per probe. Nothing is measured here."""
