"""The four tasks as nodes, and what can be connected to them."""
