"""Core: errors, geometry, parameters, random numbers, devices, processes, files. No state."""
