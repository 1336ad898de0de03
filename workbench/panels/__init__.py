"""Widgets for JupyterLab. Every widget also works without a browser, from tests and scripts."""
