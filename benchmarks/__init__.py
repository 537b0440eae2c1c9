"""Comparisons with other libraries and with the machine's limit, one small file each.

``python -m benchmarks.NAME`` runs one and writes its section of ``benchmarks/results.md``.
"""
