"""Collections as objects of the region's bucket (ADR 0019).

A worker writes them, instances start from them: parts of some MiB that never change,
and a manifest that names them and says which changes they hold.
"""
