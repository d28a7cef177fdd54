"""The steps of the data's way, in order: tracks, GANs, examples, trials."""
