"""Other libraries' modules, on ringlet: what imports them goes on as it is."""
