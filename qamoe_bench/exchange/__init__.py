"""Exchange with other tools: corrupted samples as files, and predictions that were made from them.

Export: `export` writes a folder of corrupted samples, one file per case (a seed, a draw and a condition), in one of the
`layouts`: pickles (`mmsa_pickle`), archives of arrays (`npz_archive`), or masks and noise only. `manifest` describes
the folder, and a loader (`load_samples` or `load_masks`) is copied into it, which needs NumPy alone.

Import: `predictions` reads a table that another tool wrote, `matching` compares its rows with the cases and samples of
a manifest, and `imports` stores them as cells. Nothing on this path needs torch.
"""
