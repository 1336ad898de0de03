"""Mining: which classes are hard for which, and what that says about the data.

index.py     the nearest other classes of every class: FAISS indexes, exact search in torch as oracle and fallback
queue.py     the hard negatives that each class keeps, merged batch by batch and rebuilt from an index
measures.py  how good a set of negatives is: recall against exact, captured softmax mass
findings.py  anyone's embeddings or centers -> hard pairs, likely duplicates, likely label errors; page.py shows them
"""
