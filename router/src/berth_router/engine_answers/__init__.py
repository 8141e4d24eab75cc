"""What engines answer, read from bytes: events, JSON values, errors. Pure, and for every API that is translated to."""
