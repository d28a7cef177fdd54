"""What is heard and said of it: clips of an audition, new ones on request, blind tests."""
