"""Data: in-memory tables, the readers of the real data sets, and the simulated shop (``marketplace``)."""
