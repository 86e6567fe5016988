"""Where model files come from: a file for each kind of source, all behind `Source` in `base`."""
