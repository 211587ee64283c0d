"""Systems that learn from labels only; each has ``fit(clips, levels, groups)``, ``predict`` and ``predict_proba``."""
