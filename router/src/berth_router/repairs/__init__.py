"""Pure: what is repaired, mapped and refused of requests and answers, by engine and path. `table.py` has all of it."""
