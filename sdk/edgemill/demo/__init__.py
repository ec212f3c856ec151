"""The demo: a real model from a package, a line of labels from a generator that knows the truth, and our own rest."""
