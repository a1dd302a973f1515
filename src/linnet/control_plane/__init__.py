"""The wiring of istiod: one serve() that reads like the program."""
