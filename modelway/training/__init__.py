"""From a training set to a calibrated model: splits, search, candidates, tracking."""
