"""Systems that learn from labels only; each has ``fit(clips, levels, groups)``, ``predict`` and ``predict_proba``.

`estimator` is what they promise, `inner_folds` how they choose hyper-parameters, `ordinal` and `levels` how margins and
intensities become probabilities of levels.
"""
