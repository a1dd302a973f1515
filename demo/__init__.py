"""The canary upgrade on this machine: the commands of docs/canary-upgrade.md, typed one by one under load."""
