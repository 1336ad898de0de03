"""Comparisons: variants of losses trained alike over several seeds, and what may be said about their differences.

parsing.py     text -> values of a sweep, seconds of a budget
variants.py    Variant: a method, a preset and parameters; methods, sweeps and ablations as variants
plan.py        Plan: variants x seeds by one recipe for one number of steps; compare.json in its folder
engine.py      compare: trains what is missing of a plan, in one process or several, and reads it back
statistics.py  intervals of paired differences
results.py     Comparison: the numbers, their ranking
tables.py      CSV files and the terminal's tables; page.py: the HTML report
"""
