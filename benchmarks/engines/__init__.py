"""The engines that ``plaid_engines.py`` measures: a module each, that runs in an environment of its own."""
