"""One file a step, named by its date and what it does."""
