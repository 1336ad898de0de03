"""The report: one HTML page that tells what a few runs were, how they went and how well they came out.

gather.py      a run's folder -> Evidence: what there is to draw, and in words what is missing
drawings.py    each figure with its caption; figures.py: figures as data that the browser draws, light or dark
tables.py      results, boundaries, parameters, settings
words.py       the sentences that depend on the runs; the others stand in template.html
page.py        write_report: everything in one file that needs no network
"""

from workbench.reports.run import write_report

__all__ = ["write_report"]
