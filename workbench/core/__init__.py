"""Core: errors, geometry, parameters, random numbers, devices, processes, files. Nothing here keeps state."""
