"""What draws initial weights: for each file of `archdsl.graph.recipes` one of the same name."""
