"""What produced a result: the environment it ran in, and digests of the code that determines its numbers."""
