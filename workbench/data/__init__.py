"""Images of identities: where they come from, what describes them, and which pairs of them are compared."""
