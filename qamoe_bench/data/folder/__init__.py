"""The suite's own format: a folder of arrays that are mapped into memory."""
