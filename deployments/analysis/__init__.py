"""The fact sheet, the LLM, the number check and the template answer."""
