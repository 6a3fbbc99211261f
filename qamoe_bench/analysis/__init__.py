"""Numbers derived from stored predictions; nothing here prints."""
