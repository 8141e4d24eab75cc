"""How each program of Berth starts: its settings, what is wrong with one, its log, its environment."""
