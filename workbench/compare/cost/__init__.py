"""The cost of the classifier of a loss: estimated memory, measured seconds and memory (`workbench bench`)."""
