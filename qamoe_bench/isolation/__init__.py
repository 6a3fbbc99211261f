"""Code of models kept from reaching beyond itself: its settings, its exits and its output concern it alone.

`settings` restores what is global in a process, as `python_settings` and `torch_settings` list it. `containment` turns
whatever would end or hang the process into an exception. `places` names the line of a model's file that raised one.
"""
