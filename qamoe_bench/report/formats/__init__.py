"""Formats of a report: terminal, plain text, Markdown and LaTeX."""
