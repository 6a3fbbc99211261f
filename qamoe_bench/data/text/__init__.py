"""Raw text: token ids and the language models that read them."""
