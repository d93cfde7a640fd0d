"""What is wrong with a text that does not parse: every mistake, told once. Loaded only for such texts."""
