"""Speed benchmarks against the libraries that users would pick instead."""
