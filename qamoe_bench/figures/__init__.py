"""Print-ready figures of stored results, drawn with matplotlib.

`gallery` writes the figures of all sections to files. Each kind of figure has a module: `curves`, `points`,
`landscape`, `forest`, `quality`, `pareto` and `learning`; `protocol_plot` draws the corrupted features of one sample.
`palette` assigns colours and markers to models (shared with the HTML page), `style` holds matplotlib settings,
`labels` and `captions` the words. Equal results give byte-identical files.
"""
