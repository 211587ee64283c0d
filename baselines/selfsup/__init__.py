"""Self-supervised rivals of the paper: pretext tasks on unlabelled video."""
