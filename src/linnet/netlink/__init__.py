"""rtnetlink and nf_tables in pure Python: links, addresses, routes, rules."""
