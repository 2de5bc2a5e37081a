"""The standard library's blocking modules, cooperative: same names, same meaning."""
