"""Reports: HTML files that need no network, and the Markdown pages of the methods.

run.py         write_report: runs, their results and how they trained; evidence.py, drawings.py, tables.py, words.py
comparison.py  write_report: a comparison; comparison_words.py, sweeps.py
mining.py      write_report: the findings of mining
method_pages.py  one Markdown page for each method
pages.py       jinja2 with autoescape; templates/base.html: head, style, theme switch; templates/parts.html: macros
figures.py     numbered plotly figures, light and dark
"""

from workbench.reports.run import write_report

__all__ = ["write_report"]
