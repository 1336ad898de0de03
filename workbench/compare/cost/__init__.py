"""`workbench bench`: what a training will cost, estimated before it is started or measured here."""
