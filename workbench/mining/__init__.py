"""Mining: which classes are hard for which, and what that says about the data.

index.py     the nearest other classes of every class: the search that the size speaks for, its recall measured
exact.py     the exhaustive search in torch, oracle and fallback; centers compressed to a byte a number
cells.py     the approximate search for very many classes, cell by cell
queue.py     the hard negatives that each class keeps, merged batch by batch and rebuilt from an index
measures.py  how good a set of negatives is: recall against exact, captured softmax mass
findings.py  anyone's embeddings or centers -> hard pairs, likely duplicates, likely label errors; page.py shows them
"""
