"""`make soak`: the canary upgrade again and again, under load in every protocol, with mTLS STRICT."""
