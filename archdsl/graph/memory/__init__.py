"""What is in memory while a model runs, told without torch."""
