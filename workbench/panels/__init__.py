"""Widgets for JupyterLab: the same objects work without a browser, so that tests and scripts can drive them."""
