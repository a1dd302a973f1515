"""The command line: argv, environment and kubeconfig become function calls."""
