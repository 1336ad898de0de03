"""Training: a generator of steps, the recipe it follows, the events that change it, and the run it leaves behind."""
