"""Comparisons: losses trained alike over several seeds, with paired differences.

parsing.py     text -> values of a sweep, seconds of a budget
variants.py    Variant: a method, a preset and parameters; --methods, --sweep and --ablation as variants
plan.py        Plan: variants x seeds with common settings; compare.json in its folder
task.py        one training of a plan; worker.py: a process that trains several
engine.py      compare: trains what is missing, in one process or several, and reads the results
statistics.py  intervals and p-values of paired differences, Holm's correction
results.py     Comparison: results, verdicts, ranking
tables.py      CSV files and tables on the terminal
figures.py     values with intervals, paired differences, sweeps
cost/          seconds and memory of the classifier of a loss (`workbench bench`)
"""
