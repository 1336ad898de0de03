"""The live lab: widgets that show a training as it runs, and change it."""
