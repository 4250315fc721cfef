"""What several kinds of tests need: frames and captures made by hand, runs of the program."""
