"""What an Envoy has, as its admin interface tells it: `/config_dump` and `/clusters` as rows (pure)."""
