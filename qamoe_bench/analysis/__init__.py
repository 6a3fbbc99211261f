"""Analyses of stored predictions: metrics, summaries, rankings, significance, audits. Numbers only, nothing prints.

Read `section` first (cells become a section with rows and levels), then `scores` (a metric of every row, seed and
condition, with its resamples), then `analyse`, which computes everything that reports show. In a notebook:

    >>> section, *_ = sections(Store(Path("results")).cells())
    >>> analysis = analyse_section(section, find_dialect("mmsa"), ["mae", "acc7"])
    >>> analysis.scores[0].estimate(lambda x: x.mean(-1)).interval()
"""
