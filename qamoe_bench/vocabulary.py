"""The three modalities, in the order in which everything lists them."""

MODALITIES = ("text", "audio", "vision")
