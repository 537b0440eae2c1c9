"""Building blocks shared by the architectures: embeddings, expert banks, gates, towers."""
