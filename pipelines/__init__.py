"""Entry points, the stage list, the runners and the ledger."""
