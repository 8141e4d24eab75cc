"""What every program of Berth has: settings and what is wrong with one, its log, its environment, sizes for people."""
