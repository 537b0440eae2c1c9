"""Comparisons with other libraries and with the machine's limit, one small file each.

``python -m benchmarks.NAME`` runs one and writes its section of ``benchmarks/results.md``; with ``--quick`` it only
checks that nothing has fallen far below its target. What is to be reached stands in :mod:`benchmarks.targets`.
"""
