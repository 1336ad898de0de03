"""Live training: a session in a thread, its tuning, its log, and the replay of both."""
