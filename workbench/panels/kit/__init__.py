"""Components shared by the panels: charts, frame streaming, selection, controls."""
