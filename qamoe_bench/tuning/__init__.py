"""Tuning: settings of models chosen by the validation error alone, with the same budget for every model.

`space` has the dimensions that are searched, `suggestions` the next trial of a search by Optuna, `draws` the data of a
draw, `measuring` the training of one trial, `search` the trials of one model on one draw, `tuner` all of a command, and
`study_text` the study file that tests the chosen settings beside the defaults.
"""
