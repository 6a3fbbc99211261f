"""Commands on data files: download, inspect, convert and encode. No result of a study depends on this room at run time.

`fetch.py` and `download.py` get a shared file and verify its hash, `audit.py` inspects a file, `convert.py` writes the
project's own folder format, `encode.py` adds text features of a frozen language model, and `protocol_effect.py`
measures how a protocol corrupts a test split (`protocol_tables.py` and `protocol_picture.py` display it). Start with
`audit.py`.
"""
