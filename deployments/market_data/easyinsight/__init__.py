"""EasyInsight, the discovery and backup source: the only place here that speaks HTTP."""
