"""Names of the classes of data sets that the field shares with numbers for labels, in the order of their numbers.

IEMOCAP_FOUR   MERBench's and GCNet's label_4way; zeroQiaoba/MERTools, iemocapfour_dataset.py of AffectGPT (`emos`)
IEMOCAP_SIX    label_6way, from the pickle of declare-lab/conv-emotion @ 0ce1e81, DialogueRNN/dataloader.py
MELD           zeroQiaoba/MERTools @ fb8dda0, MERBench/toolkit/preprocess/meld.py (`emos`)
MER2023        zeroQiaoba/MERTools @ fb8dda0, MERBench/toolkit/globals.py (`emos_mer`)
MINTREC        thuiar/MIntRec @ 2fef2c2, data/__init__.py (`intent_labels`)
UR_FUNNY       0 or 1 in MultiBench's humor.pkl; pliang279/MultiBench @ ce48a27, datasets/affect/get_data.py
MUSTARD        -1 or 1 in MultiBench's sarcasm.pkl; the same
"""

IEMOCAP_FOUR = ("happy", "sad", "neutral", "angry")
IEMOCAP_SIX = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
MELD = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
MER2023 = ("neutral", "angry", "happy", "sad", "worried", "surprise")
MINTREC = (
    "Complain", "Praise", "Apologise", "Thank", "Criticize", "Agree", "Taunt", "Flaunt", "Joke", "Oppose", "Comfort",
    "Care", "Inform", "Advise", "Arrange", "Introduce", "Leave", "Prevent", "Greet", "Ask for help",
)  # fmt: skip
UR_FUNNY = ("not humorous", "humorous")
MUSTARD = ("not sarcastic", "sarcastic")
