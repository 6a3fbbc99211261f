"""Runs: from a request to a plan, and from a plan to finished cells."""
