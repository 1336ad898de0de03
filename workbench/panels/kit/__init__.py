"""Parts that the panels share: charts, streams of frames, selection, controls."""
