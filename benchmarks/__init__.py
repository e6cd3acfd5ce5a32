"""What the platform costs, measured against its budget: ``python -m benchmarks`` (see README.md here).

Belongs here: measuring. Does not belong here: tests, or anything that the platform imports.
"""
