"""Raw text as input of language models.

`language_model.py` finds a pretrained model on this machine; `tokens.py` replaces text features by its token ids.
"""
