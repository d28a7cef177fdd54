"""The command line, recipes, run folders, comparisons, reports and benchmarks."""
