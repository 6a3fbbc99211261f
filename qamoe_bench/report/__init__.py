"""Tables from stored predictions; nothing here imports torch."""
