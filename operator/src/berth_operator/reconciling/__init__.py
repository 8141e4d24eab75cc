"""What the reconcilers of both resources share: how they are woken, read objects, and write them."""
