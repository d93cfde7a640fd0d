"""What a checked architecture looks like: tables, canonical text, a networkx graph, a picture."""
