"""Tables with a history: Delta tables as datasets."""
