"""What models keep in memory, told without torch."""
