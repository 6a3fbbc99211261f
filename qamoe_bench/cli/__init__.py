"""The command line `qamoe-bench`: one module per command.

Read `main` first: it registers the commands and turns errors into exit codes. `options` defines the options that
several commands share, `console` prints and writes their output. A command parses its options, makes one call and
prints; it imports what it needs inside its function, because all modules here are loaded for every command: `--help`
and `ls` start fast and never load torch, and names of models, protocols and data sets are listed without NumPy.
"""
