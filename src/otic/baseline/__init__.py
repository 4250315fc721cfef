"""What was learned as normal: facts, as readable text that people can review and merge."""
