"""Protocols: named lists of conditions, the corruption kinds that they combine, and the files that define them."""
