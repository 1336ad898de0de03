"""Mining of hard negative classes: nearest-neighbor search over centers, hard-negative queues, data-set audit.

index.py     nearest other classes of every class, with a search chosen by size and its measured recall
exact.py     exhaustive search in torch: oracle and fallback; int8 quantization of centers
cells.py     approximate search for very many classes, cell by cell
queue.py     hard negatives of each class, merged batch by batch and rebuilt from an index
measures.py  quality of a set of negatives: recall, captured softmax mass
dataset.py   embeddings or centers from a file
audit.py     hard pairs, likely duplicate identities, likely label errors
tables.py    CSV files of them
"""
